internal import CSockets
internal import Glibc
public import TransparentSockets

/// One UDP socket of one worker, to which intercepted datagrams come.
///
/// The kernel chooses among the workers' sockets by the client's address and port alone, for behind a rule `tproxy to :PORT` it takes the
/// same local address for all: so all flows of a client's endpoint are one worker's.
final class DatagramListener: ClientSide, Watched {
    private let socket: TransparentDatagramSocket
    private let datagrams: Datagrams
    private var id = SlotID(index: 0, generation: 0)
    var settings: ListenerSettings
    let number: UInt32
    var user: String? { nil }

    var raw: Int32 { socket.descriptor.raw }
    var address: ListenAddress { socket.address }

    /// What answers leave by, where that is not this host's to make.
    private let answers: DatagramAnswers?

    init(
        _ socket: consuming TransparentDatagramSocket, _ settings: ListenerSettings, _ answers: DatagramAnswers?,
        _ datagrams: Datagrams
    ) {
        self.answers = answers
        self.socket = socket
        self.settings = settings
        self.datagrams = datagrams
        number = datagrams.nextNumber()
    }

    /// - Returns: whether it listens from now on.
    func start() -> Bool {
        guard let id = datagrams.worker.loop.watch(self) else { return false }
        self.id = id
        return true
    }

    /// Its flows end: nothing of their clients' will be heard any more.
    func stop() {
        datagrams.worker.loop.unwatch(self, id)
        datagrams.end(of: self, .proxyDrain)
    }

    func ready(_ events: UInt32) { datagrams.receive(from: self) }

    func header(from source: SocketAddress) -> [UInt8] { [] }

    func send(
        _ parts: UnsafeMutablePointer<iovec>, _ count: Int, segment: Int, from source: SocketAddress, to client: SocketAddress
    ) -> Int {
        if let answers { return answers.sender.sendParts(parts, count, segment: segment, from: source, to: client) }
        return datagrams.senders.send(
            parts, count, segment: segment, from: source, to: client, mark: datagrams.worker.settings.mark)
    }

    func tell(_ client: SocketAddress, _ reason: UnreachableSender.Reason, of length: Int, to destination: SocketAddress) {
        if let answers {
            try? answers.unreachable.send(reason, of: length, from: client, to: destination)
        } else {
            datagrams.senders.tell(client, reason, of: length, to: destination, mark: datagrams.worker.settings.mark)
        }
    }
}

/// A bound socket on its way to the worker that will serve it.
public final class NewDatagramListener: @unchecked Sendable {
    private var socket: TransparentDatagramSocket?
    let settings: ListenerSettings
    let answers: DatagramAnswers?

    /// - Parameter answers: what its answers leave by; nil: sockets of this process's network namespace.
    public init(
        _ socket: consuming TransparentDatagramSocket, _ settings: ListenerSettings, answers: DatagramAnswers? = nil
    ) {
        self.answers = answers
        self.socket = consume socket
        self.settings = settings
    }

    func take() -> TransparentDatagramSocket? { socket.take() }
}

/// The sockets by which a listener in another network namespace answers its clients.
public final class DatagramAnswers: Sendable {
    let sender: ForeignSender
    let unreachable: UnreachableSender

    public init(_ sender: consuming ForeignSender, _ unreachable: consuming UnreachableSender) {
        self.sender = sender
        self.unreachable = unreachable
    }
}
