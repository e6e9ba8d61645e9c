import Configuration
import Foundation
import Protocols
import SystemPackage
import Testing
import TransparentSockets

@testable import ClearwayServer
@testable import DataPlane

/// What a usocksd logs of a session that failed, and what it counts.
@Suite struct UsocksdRecordTests {
    /// How far the bytes came.
    private static func progress(_ bytes: [UInt8]) -> SOCKSProgress {
        var server = SOCKSServer(wantsCredentials: false)
        var rest = bytes
        while true {
            let (length, step) = server.advance(rest.span)
            rest.removeFirst(length)
            if case .send = step { continue }
            return server.progress
        }
    }

    private static let asked: [UInt8] = [5, 1, 0, 5, 1, 0, 1, 10, 9, 0, 2, 0, 80]

    private static func record(
        _ ending: Ending, _ cause: FailureCause? = nil, bytes: [UInt8] = asked, opened: Bool = false
    ) -> SessionRecord {
        let socks = progress(bytes)
        return SessionRecord(
            number: 7, listener: "[::]:1080", client: ClientAddress(SocketAddress("192.0.2.2:40000")!),
            destination: OriginalDestination(SocketAddress("10.9.0.2:80")!),
            requested: socks.stage == .whole ? ProxyTarget(.address(IPAddress("10.9.0.2")!), port: 80) : nil, socks: socks,
            local: opened ? LocalAddress(SocketAddress("192.0.2.1:50000")!) : nil, up: 300, down: 5_000, duration: 2_000_000_000,
            upDuration: 20_000_000, downDuration: 2_000_000_000, ending: ending, cause: cause)
    }

    private static let refused = FailureCause.call(SocketError(call: "connect 10.9.0.2:80", errno: .connectionRefused))
    private static let unrouted = FailureCause.call(SocketError(call: "connect 10.9.0.2:80", errno: .networkUnreachable))

    static let outcomes: [(SessionRecord, UsocksdMetrics.Outcome, String?)] = [
        (record(.upstreamRefused, refused), .refused5, "dial tcp 10.9.0.2:80: connect: connection refused"),
        (record(.upstreamUnreachable, unrouted), .networkUnreachable5, "dial tcp 10.9.0.2:80: connect: network is unreachable"),
        (record(.upstreamUnreachable), .hostUnreachable5, "upstream-unreachable"),
        (record(.upstreamTimeout), .hostUnreachable5, "dial tcp 10.9.0.2:80: i/o timeout"),
        (record(.upstreamUnresolved, .denied("there is no such name")), .hostUnreachable5, "lookup : there is no such name"),
        (record(.proxyRejected), .notAllowed5, nil), (record(.proxyRejected, .denied("why")), .notAllowed5, "why"),
        (record(.proxySelf, .denied("why")), .notAllowed5, "why"), (record(.proxyLimit, .other("why")), .failure5, "why"),
        (record(.clientGone), .failure5, "EOF"), (record(.clientSlow, bytes: [5, 2]), .authentication5, "i/o timeout"),
        (record(.clientProtocol, bytes: [5, 1, 1]), .authentication5, "client-protocol"),
        (record(.clientProtocol, bytes: [5, 1, 0, 5, 2, 0, 9]), .addressType5, "client-protocol"),
        (record(.clientProtocol, bytes: [5, 1, 0, 5, 9]), .command5, "client-protocol"),
        (record(.clientGone, bytes: [5, 1, 0, 5, 1]), .addressRead5, "EOF"),
        (
            record(.upstreamRefused, refused, bytes: [4, 1, 0, 80, 10, 9, 0, 2, 0]), .rejected4,
            "dial tcp 10.9.0.2:80: connect: connection refused"
        ),
        (record(.clientProtocol, bytes: [22]), .unknownVersion, "client-protocol"),
        (record(.clientGone, bytes: []), .invalid, "EOF"),
    ]

    @Test(arguments: outcomes)
    func whatBecameOfIt(_ record: SessionRecord, _ outcome: UsocksdMetrics.Outcome, _ error: String?) {
        #expect(UsocksdMetrics.Outcome(record) == outcome)
        #expect(record.usocksdError == error)
    }

    @Test func whoIsNotServedIsCountedApart() {
        var record = Self.record(.proxyRejected, .denied("no client of this listener"))
        record.socks = nil
        #expect(UsocksdMetrics.Outcome(record) == .notAllowed)
        #expect(record.usocksdFailure == "ruleset mismatch")
    }

    private func samples(_ metrics: UsocksdMetrics, _ format: Exposition.Format = .prometheus) -> [String: String] {
        let lines = String(decoding: metrics.exposition(format), as: UTF8.self).split(separator: "\n").filter { !$0.hasPrefix("#") }
        return Dictionary(
            uniqueKeysWithValues: lines.map { line in
                let parts = line.split(separator: " ")
                return (String(parts[0]), String(parts[1]))
            })
    }

    @Test func oneSessionInEveryMetric() {
        let metrics = UsocksdMetrics()
        let record = Self.record(.upstreamReset, opened: true)
        metrics.opened(
            SessionOpening(
                number: 7, client: record.client, destination: record.destination!, requested: record.requested, socks: record.socks
            ))
        #expect(samples(metrics)["usocksd_proxy_inflight_requests"] == "1")
        metrics.ended(record)
        let found = samples(metrics)
        #expect(found["usocksd_proxy_inflight_requests"] == "0")
        #expect(found["usocksd_connections_total{version=\"SOCKS5\",status=\"granted\"}"] == "1")
        #expect(found["usocksd_socks5_auth_negotiated_total{type=\"no_auth\",result=\"ok\"}"] == "1")
        #expect(found["usocksd_socks5_address_read_total{type=\"IPv4\",result=\"ok\"}"] == "1")
        #expect(found["usocksd_proxy_elapsed_seconds_sum{result=\"error\"}"] == "2.0")
        #expect(found["usocksd_proxy_elapsed_seconds_bucket{result=\"error\",le=\"1\"}"] == "0")
        #expect(found["usocksd_proxy_elapsed_seconds_bucket{result=\"error\",le=\"2.5\"}"] == "1")
        #expect(found["usocksd_proxy_tx_bytes_sum"] == "300.0" && found["usocksd_proxy_rx_bytes_sum"] == "5000.0")
        #expect(found["usocksd_proxy_tx_seconds_sum"] == "0.02" && found["usocksd_proxy_rx_seconds_sum"] == "2.0")
        #expect(found["usocksd_proxy_rx_errors_total"] == "1" && found["usocksd_proxy_tx_errors_total"] == "0")
    }

    @Test func boundsBelongToTheirRange() {
        let histogram = Histogram.bytes()
        for value: UInt64 in [0, 256, 257, 1 << 30, 1 << 30 + 1, .max >> 1] { histogram.observe(value) }
        let counts = histogram.value.counts
        #expect(counts.first?.bound == 256 && counts.first?.count == 2)
        #expect(counts[counts.count - 2].bound == Double(1 << 30) && counts[counts.count - 2].count == 4)
        #expect(counts.last?.bound == nil && counts.last?.count == 6)
    }

    @Test func openMetricsHasItsOwnWays() {
        let text = String(decoding: UsocksdMetrics().exposition(.openMetrics), as: UTF8.self)
        #expect(text.hasSuffix("# EOF\n"))
        #expect(text.contains("# TYPE usocksd_connections counter\nusocksd_connections_total{"))
        #expect(text.contains("usocksd_proxy_tx_seconds_bucket{le=\"1.0\"} 0\n"))
    }

    /// Threads that add at the same time lose nothing.
    @Test func countersAddUp() async {
        let counters = Counters(2)
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<4 { group.addTask { for _ in 0..<10_000 { counters.add(at: 1) } } }
        }
        #expect(counters[0] == 0 && counters[1] == 40_000)
    }
}
