internal import CSockets
internal import Glibc
internal import SystemPackage
internal import TransparentSockets

/// A client endpoint's outside endpoint: one socket, from which it talks with everybody that is reached directly (RFC 4787 §4.1).
final class Mapping {
    /// What has to be equal for flows to share a mapping.
    struct Options: Hashable {
        var isIPv6: Bool
        var dialling: DatagramDialOptions
    }

    let options: Options
    let endpoint: Endpoint
    private let datagrams: Datagrams
    private let socket: OutsideSocket
    /// Flows through it.
    private(set) var flows = 0
    /// Addresses that its flows go to.
    private(set) var peers = Peers()
    /// The last one that the client has sent on: what comes from strangers, where that is allowed, is counted there.
    /// Not weak: that would give every flow a second, slower count of references.
    private(set) unowned(unsafe) var latest: Flow?
    /// Our port, once something was sent.
    private(set) var local: LocalAddress?

    var raw: Int32 { socket.raw }

    /// - Throws: `SocketError`: no descriptor, port or memory is left, or the source cannot be had.
    init(_ options: Options, of endpoint: Endpoint, _ datagrams: Datagrams) throws(SocketError) {
        self.options = options
        self.endpoint = endpoint
        self.datagrams = datagrams
        socket = try datagrams.takeSocket(options)
        socket.mapping = self
    }

    func ready(_ events: UInt32) {
        if events & cs_epoll_err != 0 {
            takeErrors()
            datagrams.endThoseDone()
        }
        if events & cs_epoll_in != 0, flows > 0 { datagrams.receive(self) }
    }

    func add(_ flow: Flow) {
        flows += 1
        peers.add(flow.destination.address)
    }

    /// The client has sent on it now.
    func note(_ flow: Flow) {
        // What made room for another one is not ours any more, but may have something to send.
        if flow.isOpen { latest = flow }
    }

    /// The socket is given back with the last one.
    func remove(_ flow: Flow) {
        flows -= 1
        if latest === flow { latest = nil }
        peers.remove(flow.destination.address)
        guard flows == 0 else { return }
        datagrams.giveBack(socket)
        if let local, isOurs(local) { datagrams.worker.datagramPorts.remove(local.value) }
        endpoint.mappings.removeAll { $0 === self }
    }

    func send(_ parts: UnsafeMutablePointer<iovec>, _ count: Int, segment: Int, to destination: SocketAddress) -> Int {
        var to = destination.packed
        let result = pastErrors {
            // The socket may be another's.
            guard flows > 0 else { return -Int(EBADF) }
            return cs_send_datagrams(raw, parts, Int32(count), &to, nil, UInt16(truncatingIfNeeded: segment))
        } take: {
            takeErrors()
        }
        if local == nil, result >= 0, flows > 0 { learnLocal() }
        return result
    }

    private func learnLocal() {
        guard let own = try? localAddress(raw) else { return }
        local = own
        if isOurs(own) { datagrams.worker.datagramPorts.add(own.value) }
    }

    /// Not the client's own address and port, where they are its source: what the client sends next is no loop.
    private func isOurs(_ local: LocalAddress) -> Bool { local.value != endpoint.client }

    /// Tells each flow what ICMP said of its datagrams.
    ///
    /// - Returns: whether there was something.
    @discardableResult
    private func takeErrors() -> Bool {
        guard flows > 0 else { return false }
        return takeToldErrors(raw) { error, destination in datagrams.told(error, of: destination, through: self) }
    }
}

/// Addresses that a client has sent to, and how many of its flows go to each.
struct Peers {
    private var counts: [IPAddress: Int] = [:]
    /// Most have one, which needs no table.
    private var only: (address: IPAddress, flows: Int)?

    func contains(_ address: IPAddress) -> Bool { only.map { $0.address == address } ?? (counts[address] != nil) }

    mutating func add(_ address: IPAddress) {
        if counts.isEmpty, only == nil || only!.address == address {
            only = (address, (only?.flows ?? 0) + 1)
        } else {
            if let only = only.take() { counts[only.address] = only.flows }
            counts[address, default: 0] += 1
        }
    }

    mutating func remove(_ address: IPAddress) {
        if let only {
            self.only = only.flows == 1 ? nil : (address, only.flows - 1)
        } else if let count = counts[address] {
            counts[address] = count == 1 ? nil : count - 1
        }
    }
}
