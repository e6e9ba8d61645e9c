internal import CSockets
internal import Glibc
internal import Policy
internal import Protocols
internal import SystemPackage
internal import TransparentSockets

/// A SOCKS client's association with us (RFC 1928 §7): the socket that its datagrams come to, each with where it is to go. It lives as long
/// as the connection by which it was asked for.
final class ServedAssociation: ClientSide, Watched {
    /// Datagrams that wait for a name, and bytes of them; and names.
    static let mostKept = 16
    static let mostBytesKept = 65_536

    private let datagrams: Datagrams
    private let service: Service
    /// Nil when the connection has ended. Whoever waits for a name holds the association longer than that, but not its port.
    private var socket: Descriptor?
    private let peer: IPAddress
    private var id = SlotID(index: 0, generation: 0)
    /// The client's, if it has said so beforehand; others get nothing.
    private let port: UInt16?
    /// Who has sent first, and is the client from then on.
    private var client: SocketAddress?
    /// Names that are being looked up for it, each once.
    private var asked: [DomainName] = []
    /// Datagrams that wait for them.
    private var kept: [(name: DomainName, port: UInt16, bytes: [UInt8])] = []
    private var bytesKept = 0
    let settings: ListenerSettings
    let number: UInt32
    let user: String?
    /// Where the client sends to.
    let bound: LocalAddress

    var raw: Int32 { socket?.raw ?? -1 }

    /// - Parameters:
    ///   - peer: who has asked. Nobody else is heard.
    ///   - port: the one that it will send from, as it says; 0: it has not said so, and the first one counts.
    ///   - own: the address at which it has reached us.
    init(
        of peer: IPAddress, port: UInt16, at own: SocketAddress, _ service: Service, _ settings: ListenerSettings, user: String?,
        _ datagrams: Datagrams
    ) throws(SocketError) {
        self.datagrams = datagrams
        self.service = service
        self.settings = settings
        self.peer = peer
        self.port = port == 0 ? nil : port
        self.user = user
        number = datagrams.nextNumber()
        var options = datagrams.plainOptions
        options.source = .own(own.address)
        // Such an address is one of that interface's alone.
        if own.address.isLinkLocal { options.device = interfaceName(own.scope) }
        let socket = try datagramSocket(isIPv6: own.address.isIPv6, options)
        bound = try localAddress(socket.raw)
        self.socket = consume socket
        guard let id = datagrams.worker.loop.watch(self) else {
            throw SocketError(call: "epoll_ctl", errno: .noMemory, hint: "fs.epoll.max_user_watches")
        }
        self.id = id
    }

    /// The connection has ended.
    func close() {
        datagrams.worker.loop.unwatch(self, id, isClosed: true)
        socket = nil
        datagrams.drop(.waiting, kept.count)
        kept = []
        if let client { datagrams.end(of: self, by: client, .clientFIN) }
    }

    func ready(_ events: UInt32) {
        // ICMP says that the client does not hear an answer: its connection tells whether it is gone.
        if events & cs_epoll_err != 0 { forgetErrors(raw) }
        guard events & cs_epoll_in != 0 else { return }
        let count = datagrams.receiveUpward(from: raw)
        for index in 0..<count {
            let datagram = datagrams.received(index)
            let client = datagram.sender
            guard client.address == peer, port == nil || port == client.port, self.client == nil || self.client == client else {
                datagrams.drop(.unwanted, datagram.count)
                continue
            }
            guard !datagram.isTruncated else {
                datagrams.drop(.malformed, datagram.count)
                continue
            }
            eachDatagram(datagram.bytes, datagram.segment) { take($0, from: client) }
        }
        datagrams.sendUp()
    }

    /// One datagram of the client's, with its header.
    private func take(_ bytes: UnsafeMutableRawBufferPointer, from client: SocketAddress) {
        guard case .datagram(let target, let length) = SOCKSDatagram.read(bytes: bytes) else {
            return datagrams.drop(.malformed, 1)
        }
        self.client = client
        let data = UnsafeMutableRawBufferPointer(rebasing: bytes.dropFirst(length))
        switch target.host {
        case .address(let address): send(data, to: [address.unmapped], target.port, name: nil, from: client)
        case .name(let text):
            // An address in whatever spelling is judged as that address.
            if let address = IPAddress(anySpelling: text[...]) {
                return send(data, to: [address.unmapped], target.port, name: nil, from: client)
            }
            guard let name = DomainName(text[...]) else { return datagrams.drop(.malformed, 1) }
            guard service.refusal(of: name) == nil else { return datagrams.drop(.refused, 1) }
            resolve(name, target.port, data, from: client)
        }
    }

    private func resolve(_ name: DomainName, _ port: UInt16, _ data: UnsafeMutableRawBufferPointer, from client: SocketAddress) {
        let loop = datagrams.worker.loop
        if !asked.contains(name) {
            guard asked.count < Self.mostKept else { return datagrams.drop(.waiting, 1) }
            let bound = LoopBound(self)
            let known = datagrams.worker.names.resolve(name, for: loop, from: client.address) {
                bound.value.resolved(name, $0, for: client)
            }
            if let known {
                if case .addresses(let addresses) = known { return send(data, to: addresses, port, name: name, from: client) }
                return datagrams.drop(.refused, 1)
            }
            asked.append(name)
        }
        guard kept.count < Self.mostKept, bytesKept + data.count <= Self.mostBytesKept else { return datagrams.drop(.waiting, 1) }
        kept.append((name, port, Array(data)))
        bytesKept += data.count
    }

    private func resolved(_ name: DomainName, _ answer: NameResolver.Answer, for client: SocketAddress) {
        guard socket != nil else { return }
        asked.removeAll { $0 == name }
        let waiting = kept.filter { $0.name == name }
        kept.removeAll { $0.name == name }
        bytesKept -= waiting.reduce(0) { $0 + $1.bytes.count }
        guard case .addresses(let addresses) = answer else { return datagrams.drop(.refused, waiting.count) }
        for var datagram in waiting {
            datagram.bytes.withUnsafeMutableBytes { data in
                send(data, to: addresses, datagram.port, name: name, from: client)
                // Its bytes stay no longer than this.
                datagrams.sendUp()
            }
        }
    }

    /// Sends a datagram to the first of the addresses, if the client may go there: judged as a connection's would be.
    private func send(
        _ data: UnsafeMutableRawBufferPointer, to addresses: [IPAddress], _ port: UInt16, name: DomainName?,
        from client: SocketAddress
    ) {
        let worker = datagrams.worker
        guard let address = addresses.first else { return datagrams.drop(.refused, 1) }
        let destination = SocketAddress(address, port: port)
        let endpointKey = EndpointKey(client, of: number)
        let key = FlowKey(endpointKey, to: destination)
        let known = datagrams.find(key)
        if let known, known.name == name { return datagrams.add(data, segment: 0, to: known) }
        guard service.mayAsk(for: port, overHTTP: false),
            service.reach.refusal(ofAny: addresses, ourselves: worker.ownAddresses) == nil,
            !worker.isOurselves(OriginalDestination(destination))
        else { return datagrams.drop(.refused, 1) }
        let policy = worker.settings.routes.policy
        var query = Query(
            listener: settings.name, client: client.address, destination: address, port: port, transport: .udp, name: name,
            user: user)
        query.minute = worker.minute(for: policy)
        let decision = policy.decideInEveryForm(query)
        // There by another name, or by none. What rules say of that is not said of this one.
        if let known, known.decision.action == decision.action { return datagrams.add(data, segment: 0, to: known) }
        if let known, !datagrams.makesWay(known) { return datagrams.drop(.refused, 1) }
        guard let flow = datagrams.open(key, endpointKey, client, to: destination, name: name, decision, self) else {
            return datagrams.drop(.refused, 1)
        }
        datagrams.add(data, segment: 0, to: flow)
    }

    func header(from source: SocketAddress) -> [UInt8] { SOCKSDatagram.header(source) }

    func send(
        _ parts: UnsafeMutablePointer<iovec>, _ count: Int, segment: Int, from source: SocketAddress, to client: SocketAddress
    ) -> Int {
        sendPastErrors(raw, parts, count, segment: segment, to: client)
    }

    /// SOCKS has no words for it: a relay drops silently (RFC 1928 §7).
    func tell(_ client: SocketAddress, _ reason: UnreachableSender.Reason, of length: Int, to destination: SocketAddress) {}
}

private func interfaceName(_ index: UInt32) -> String? {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(IFNAMSIZ)) { name in
        if_indextoname(index, name.baseAddress!).map { String(cString: $0) }
    }
}
