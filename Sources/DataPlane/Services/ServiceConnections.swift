internal import Protocols
internal import TransparentSockets

/// Connections to one service that a worker keeps between two exchanges, the one used last on top.
final class ServiceConnections {
    private let member: UpstreamMember
    private unowned(unsafe) let worker: Worker
    /// That may rest.
    var most: Int {
        didSet { if resting.count > most { resting.removeFirst(resting.count - most) } }
    }
    private var resting: [LoopSocket] = []

    init(_ member: UpstreamMember, _ worker: Worker, most: Int) {
        self.member = member
        self.worker = worker
        self.most = most
    }

    /// What logs call it.
    var label: String { member.settings.label }

    /// One that was used before; nil: none is left that works, as far as is known.
    func take(_ bell: Bell) -> LoopSocket? {
        while let socket = resting.popLast() {
            guard socket.isSilent else { continue }
            socket.belong(to: bell)
            return socket
        }
        return nil
    }

    /// A new one.
    func open(_ bell: Bell, until deadline: UInt64) async throws(LoopSocket.Failure) -> LoopSocket {
        var options = DialOptions()
        options.mark = worker.settings.mark
        return try await LoopSocket.connected(to: member.addresses, options, bell, until: deadline)
    }

    /// Keeps one whose exchange is over, and whole.
    func giveBack(_ socket: LoopSocket) {
        guard resting.count < most, socket.isSilent else { return }
        resting.append(socket)
        socket.rest { [weak self, unowned(unsafe) socket] in self?.resting.removeAll { $0 === socket } }
    }
}
