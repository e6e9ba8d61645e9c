internal import CSockets
internal import Glibc

extension Direction {
    /// Looks in a row that found less than a page before a direction goes back to copying.
    static let smallLooksBeforeCopy: UInt8 = 8
    static let smallLook = 4_096

    /// Moves bytes through a pipe: they stay in the kernel, by reference.
    ///
    /// `splice` says EAGAIN both for "socket empty" and for "pipe full". It is only ever asked to fill an empty pipe, so
    /// here it means the first; towards the sink it means that the sink is full.
    mutating func splice(
        from source: some ByteStream, to sink: some ByteStream, _ resources: Resources, spent: inout Int
    ) -> Moved {
        let before = spent
        while true {
            if inPipe > 0, let pipe {
                guard isWritable else { return .waiting }
                let count = cs_splice(pipe.readEnd, sink.raw, inPipe, 0)
                guard count > 0 else {
                    if count == -Int(EINTR) { continue }
                    guard count == -Int(EAGAIN) else { return .sinkFailed(count == 0 ? -EPIPE : Int32(count)) }
                    isWritable = false
                    return .waiting
                }
                moved += UInt64(count)
                inPipe -= count
                continue
            }
            guard isReadable, !hasEnded, left > 0 else { break }
            guard !hasUrgent else { return copyFromNow(from: source, to: sink, resources, spent: &spent) }
            guard spent < Resources.budget else { return .budgetUsed }
            guard let pipe = pipe ?? resources.pipes.borrow() else {
                return copyFromNow(from: source, to: sink, resources, spent: &spent)
            }
            self.pipe = pipe
            let count = cs_splice(source.raw, pipe.writeEnd, Int(min(UInt64(pipe.capacity), left)), 0)
            if count > 0 {
                inPipe = count
                left -= UInt64(count)
                spent += count
            } else if count == 0 || source.isForReceive(Int32(count)) {
                // The end, or the mark of urgent data: a read tells them apart.
                return copyFromNow(from: source, to: sink, resources, spent: &spent)
            } else if count == -Int(EAGAIN) {
                isReadable = false
            } else if count != -Int(EINTR) {
                return .sourceFailed(Int32(count))
            }
        }
        if let pipe {
            resources.pipes.giveBack(pipe, isEmpty: true)
            self.pipe = nil
        }
        if hasEnded || left == 0 { return .finished }
        noteLook(spent - before, resources.mode)
        return .waiting
    }

    /// Nothing is in the pipe: the direction can change over.
    private mutating func copyFromNow(
        from source: some ByteStream, to sink: some ByteStream, _ resources: Resources, spent: inout Int
    ) -> Moved {
        if let pipe {
            resources.pipes.giveBack(pipe, isEmpty: true)
            self.pipe = nil
        }
        splices = false
        streak = 0
        return copy(from: source, to: sink, resources, spent: &spent)
    }

    private mutating func noteLook(_ bytes: Int, _ mode: RelayMode) {
        guard mode == .adaptive, bytes < Self.smallLook else {
            streak = 0
            return
        }
        streak += 1
        if streak >= Self.smallLooksBeforeCopy {
            splices = false
            streak = 0
        }
    }
}
