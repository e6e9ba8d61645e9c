internal import CSockets
internal import Glibc
internal import Protocols
internal import SystemPackage
internal import TransparentSockets

/// A client endpoint's SOCKS association: a proxy's relay, a socket connected to it, and the session by whose connection the proxy
/// knows how long it is wanted.
///
/// Until the proxy has answered, the first datagrams are kept. It goes with its last flow.
final class Association: Watched {
    /// Datagrams, and bytes of them, that are kept while the proxy is asked.
    static let mostKept = 16
    static let mostBytesKept = 65_536

    let group: UpstreamGroup
    let endpoint: Endpoint
    private let datagrams: Datagrams
    private var session: Session?
    private var kept: [(flow: Flow, bytes: [UInt8])] = []
    private var bytesKept = 0 { didSet { datagrams.bytesKept += bytesKept - oldValue } }
    private var socket: Descriptor?
    private var id = SlotID(index: 0, generation: 0)
    private(set) var local: LocalAddress?
    /// Where the proxy relays, as it says.
    var bound: SocketAddress?
    private(set) var flows = 0
    /// Addresses that its flows go to.
    private(set) var peers = Peers()
    /// The client's, in which it is counted.
    private var share: FlowTable.Share?
    private(set) unowned(unsafe) var latest: Flow?

    var raw: Int32 { socket?.raw ?? -1 }
    var isOpen: Bool { socket != nil }
    /// There was a relay.
    private(set) var wasOpen = false

    init(_ routes: Routes, _ index: Int, of endpoint: Endpoint, _ datagrams: Datagrams) {
        group = routes.upstreams[index]
        self.endpoint = endpoint
        self.datagrams = datagrams
        let session = Session(for: self, through: index, of: routes, datagrams.worker)
        self.session = session
        session.start()
    }

    /// The proxy has made a relay.
    ///
    /// - Returns: nil when it can be used, else how the session ends.
    func opened(at relay: SocketAddress, _ options: DatagramDialOptions) -> Ending? {
        guard flows > 0 else { return .clientGone }
        do throws(SocketError) {
            let socket = try datagramSocket(isIPv6: relay.address.isIPv6, to: UpstreamAddress(relay), options)
            local = try? localAddress(socket.raw)
            self.socket = .some(socket)
        } catch {
            let ending: Ending = error.isOfThisHost ? .proxyLimit : .upstreamUnreachable
            datagrams.report(ending, endpoint.side, "\(error)")
            return ending
        }
        guard let id = datagrams.worker.loop.watch(self) else {
            socket = nil
            return .proxyLimit
        }
        self.id = id
        wasOpen = true
        let waiting = kept
        (kept, bytesKept) = ([], 0)
        for (flow, bytes) in waiting {
            if flow.isOpen { datagrams.sendKept([bytes], of: flow, through: self) } else { datagrams.drop(.unsent, 1) }
        }
        // What was told of the first may have ended them all.
        return flows > 0 ? nil : .clientGone
    }

    /// There will be no relay, or there is none any more.
    func ended(_ ending: Ending) {
        session = nil
        if flows > 0 { datagrams.end(through: self, ending) }
    }

    func ready(_ events: UInt32) {
        // Nobody hears at the relay's port any more, as far as ICMP knows: the proxy will close the connection if so.
        if events & cs_epoll_err != 0 { forgetErrors(raw) }
        if events & cs_epoll_in != 0 { datagrams.receive(self) }
    }

    /// The client has sent on it now.
    func note(_ flow: Flow) {
        if flow.isOpen { latest = flow }
    }

    /// - Precondition: it is open.
    func add(_ flow: Flow) {
        if share == nil {
            share = flow.share
            share?.associations += 1
        }
        flows += 1
        peers.add(flow.destination.address)
    }

    func remove(_ flow: Flow) {
        flows -= 1
        peers.remove(flow.destination.address)
        if latest === flow { latest = nil }
        kept.removeAll {
            guard $0.flow === flow else { return false }
            bytesKept -= $0.bytes.count
            datagrams.drop(.waiting, 1)
            return true
        }
        guard flows == 0 else { return }
        share.take()?.associations -= 1
        endpoint.associations.removeAll { $0 === self }
        datagrams.associations -= 1
        if isOpen { datagrams.worker.loop.unwatch(self, id, isClosed: true) }
        socket = nil
        session.take()?.letGo()
    }

    /// Keeps a copy of datagrams until the proxy has answered; those that are too many are lost.
    func keep(_ flow: Flow, _ entries: [Datagrams.Entry]) {
        for entry in entries {
            entry.eachDatagram { data in
                guard kept.count < Self.mostKept, bytesKept + data.count <= Self.mostBytesKept,
                    datagrams.bytesKept + data.count <= Datagrams.mostBytesKept
                else {
                    return datagrams.drop(.waiting, 1)
                }
                bytesKept += data.count
                kept.append((flow, Array(data)))
            }
        }
    }

    func send(_ parts: UnsafeMutablePointer<iovec>, _ count: Int, segment: Int) -> Int {
        sendPastErrors(raw, parts, count, segment: segment)
    }

    /// Where the relay says that a datagram came from, and the bytes before its data.
    func source(of bytes: UnsafeMutableRawBufferPointer) -> (SocketAddress, Int)? {
        guard case .datagram(let source, let length) = SOCKSDatagram.read(bytes: bytes), case .address(let address) = source.host
        else { return nil }
        return (SocketAddress(address.unmapped, port: source.port), length)
    }
}

extension Datagrams.Entry {
    func eachDatagram(_ body: (UnsafeMutableRawBufferPointer) -> Void) {
        TransparentSockets.eachDatagram(data, segment, body)
    }
}

extension SOCKSDatagram {
    static func read(bytes: UnsafeMutableRawBufferPointer) -> SOCKSDatagram {
        guard let base = bytes.baseAddress else { return .none(.short) }
        return read(Span(_unsafeStart: base.assumingMemoryBound(to: UInt8.self), count: bytes.count))
    }
}
