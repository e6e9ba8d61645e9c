/// What one task of a loop waits for: any of its sockets, or a deadline. The task looks at all of them whenever it was rung, and waits
/// again when nothing has changed for it.
///
/// Belongs to its loop's thread, as do the sockets that ring it.
final class Bell {
    /// Outlives every task of its own.
    unowned(unsafe) let loop: EventLoop
    private var waiter: UnsafeContinuation<Void, Never>?
    private var deadline = UInt64.max
    /// When the loop rings next; `.max`: never.
    private var armedAt = UInt64.max
    /// ``DeadlineQueue``'s own.
    var placeInQueue: Int?

    init(_ loop: EventLoop) { self.loop = loop }

    deinit { if placeInQueue != nil { loop.silence(self) } }

    /// Waits for the next edge of a socket's. The sockets must have been found to have nothing, since the task last waited.
    ///
    /// - Parameter deadline: monotonic nanoseconds.
    /// - Returns: false: it has come.
    func wait(until deadline: UInt64) async -> Bool {
        guard deadline > loop.now else { return false }
        self.deadline = deadline
        arm()
        await withUnsafeContinuation { waiter = $0 }
        return deadline > loop.now
    }

    /// Lets the loop's others have their turn.
    func pause() async {
        deadline = loop.now
        arm()
        await withUnsafeContinuation { waiter = $0 }
        // The queue does not keep it.
        withExtendedLifetime(self) {}
    }

    func ring() { waiter.take()?.resume() }

    /// The loop has come to what ``arm()`` asked it for.
    func deadlineReached() {
        armedAt = .max
        guard waiter != nil else { return }
        if deadline <= loop.now { ring() } else { arm() }
    }

    private func arm() {
        guard deadline < armedAt else { return }
        armedAt = deadline
        loop.ring(self, at: deadline)
    }
}
