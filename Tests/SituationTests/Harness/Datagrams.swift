import Foundation
import Testing

extension ClearwayConfiguration {
    /// One listener that intercepts UDP beside TCP.
    ///
    /// - Parameter more: further keys of the listener, one a line.
    static func datagrams(
        preserved: PreservedSource = .off, more: String = "", timeouts: String = "", top: String = "", policy: String = ""
    ) -> ClearwayConfiguration {
        var configuration = ClearwayConfiguration(timeouts: timeouts)
        configuration.top = top
        configuration.listeners = [Listener(preserved: preserved, more: "protocols = [\"tcp\", \"udp\"]\n\(more)")]
        configuration.policy = policy
        return configuration
    }

    /// One listener that serves SOCKS, UDP ASSOCIATE included, on port 1080.
    static func servingDatagrams(
        reach: [String]? = servedNetworks, more: String = "", timeouts: String = "", policy: String = ""
    ) -> ClearwayConfiguration {
        serving("socks", reach: reach, timeouts: timeouts, more: "protocols = [\"tcp\", \"udp\"]\n\(more)", policy: policy)
    }

    /// An upstream of that URL, through which all UDP goes.
    static func datagramsThrough(_ url: String, _ more: String = "") -> String {
        "[[upstream]]\nname = \"out\"\nurl = \"\(url)\"\n\(more)\n[[rule]]\nprotocol = \"udp\"\naction = \"out\"\n"
    }
}

extension Stage {
    /// Starts a Clearway that intercepts datagrams.
    @discardableResult
    func startDatagrams(_ configuration: ClearwayConfiguration = .datagrams(), wrapper: [String] = []) throws -> Clearway {
        try startClearway(configuration, wrapper: wrapper)
    }

    /// Starts another Clearway on the server, which serves SOCKS to the first one where proxies listen.
    func startClearwayBehind() throws -> Clearway {
        var serving = ClearwayConfiguration(timeouts: "")
        serving.listeners = []
        serving.policy = ClearwayConfiguration.servedListener(
            "socks", port: ProxyProgram.port, reach: [variant.family.server], clients: ["198.51.100.0/24", "2001:db8:2::/64"],
            more: "protocols = [\"tcp\", \"udp\"]")
        let behind = try Clearway(in: topology.server, configuration: serving, name: "behind")
        try behind.waitUntilReady()
        return behind
    }

    /// An address more for the server.
    func addServerAddress(_ address: String) throws {
        let prefix = address.contains(":") ? "/64 dev eth0 nodad" : "/24 dev eth0"
        try topology.server.require(["ip", "address", "add"] + (address + prefix).split(separator: " ").map(String.init))
    }

    /// An echo over UDP on the server.
    func datagramEcho(_ host: String? = nil, port: Int = 0) throws -> DatagramEcho {
        let host = host ?? variant.family.server
        let socket = try server.perform("udp", ["host": host, "port": port])
        return DatagramEcho(
            peer: server, host: host, port: socket.int("port"), socket: socket.socket,
            state: try server.perform("udp_echo", ["socket": socket.socket]).socket)
    }
}

struct DatagramEcho {
    let peer: Peer
    let host: String
    let port: Int
    let socket: Int
    fileprivate let state: Int

    /// As peers name a destination.
    var place: [Any] { [host, port] }
    /// As peers name who has sent something.
    var name: String { "\(host) \(port)" }

    /// How many datagrams it has echoed.
    var count: Int { get throws { try peer.perform("udp_heard", ["socket": state]).int("count") } }
    /// Who has spoken with it so far, in order.
    var speakers: [String] { get throws { try peer.perform("udp_heard", ["socket": state]).strings("speakers") } }
}

extension Peer {
    /// A UDP socket, connected if a place is given: its number and port.
    func datagramSocket(_ host: String, port: Int = 0, to place: [Any]? = nil) throws -> (socket: Int, port: Int) {
        var arguments: [String: Any] = ["host": host, "port": port]
        if let place { arguments["to"] = place }
        let answer = try perform("udp", arguments)
        return (answer.socket, answer.int("port"))
    }

    /// Has an echo send datagrams back, one by one: who did, or what went wrong.
    func ask(_ socket: Int, _ echo: DatagramEcho, sizes: [Int] = [4]) throws -> [String] {
        try perform("udp_ask", ["socket": socket, "to": echo.place, "sizes": sizes]).strings("answers")
    }

    func sendDatagram(_ socket: Int, _ text: String, to place: [Any]) throws {
        try perform("udp_send", ["socket": socket, "datagrams": [hexadecimal(Array(text.utf8))], "to": place])
    }

    /// The next datagrams: what each says, and who sent it, as "ADDRESS PORT".
    func takeDatagrams(_ socket: Int, _ count: Int = 1) throws -> [(bytes: [UInt8], sender: String)] {
        let answer = try perform("udp_take", ["socket": socket, "count": count])
        return zip(answer.strings("datagrams"), answer.strings("senders")).map { (bytes($0), $1) }
    }
}

extension Clearway {
    /// Stops it; the fields of the last thing it says: totals, and why datagrams were dropped.
    func totals() throws -> AccessRecord {
        #expect(try stop() == .exited(0))
        let all = try records("stopped")
        guard let last = all.last else { throw SituationError("nothing about the stop in the log:\n\(log)") }
        return last
    }

    /// Records of finished flows so far.
    func flowRecords() throws -> [AccessRecord] { try accessRecords().filter { $0.string("protocol") == "udp" } }

    /// Waits for that many finished flows; their records.
    func waitForFlows(_ count: Int) throws -> [AccessRecord] {
        try waitFor("\(count) finished flows") {
            let records = try flowRecords()
            return records.count >= count ? records : nil
        }
    }
}

extension AccessRecord {
    /// A number of the totals, which are written as text; 0 when it is left out.
    func total(_ name: String) -> Int { (fields[name] as? NSNumber)?.intValue ?? Int(string(name)) ?? 0 }
}

extension Family {
    /// As the log writes an address and port.
    func written(_ address: String, _ port: Int) -> String { self == .v4 ? "\(address):\(port)" : "[\(address)]:\(port)" }
}

/// "ADDRESS PORT", as peers name a destination.
func place(_ name: String) -> [Any] {
    let parts = name.split(separator: " ")
    return [String(parts[0]), Int(parts[1]) ?? 0]
}

extension Namespace {
    /// Starts a name server on port 53 of all addresses that knows these names and no others, and waits until it answers.
    func startDNSMasq(_ names: [String: String]) throws {
        let program = try start(
            [
                // A daemon would change its group, which is not allowed in a user namespace.
                "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
            ] + names.map { "--address=/\($0)/\($1)" })
        try waitUntil("dnsmasq") { program.standardError.contains("started") }
    }
}
