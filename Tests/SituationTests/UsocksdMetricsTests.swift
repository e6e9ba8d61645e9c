import Foundation
import Testing

extension Situations {
    /// What a usocksd tells whoever scrapes it.
    @Suite struct UsocksdMetrics {
        private static let seconds = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
        private static let bytes = (4...15).map { "\(1 << (2 * $0))" } + ["+Inf"]

        /// Names and labels, all of them.
        static let contract: Set<String> = {
            var names: Set<String> = [
                "usocksd_proxy_inflight_requests", "usocksd_proxy_tx_errors_total", "usocksd_proxy_rx_errors_total",
            ]
            for status in [
                "granted", "failure", "not_allowed", "network_unreachable", "host_unreachable", "connection_refused", "TTL_expired",
                "command_not_supported", "address_type_not_supported", "authentication_failure", "address_read_failure",
            ] { names.insert("usocksd_connections_total{version=\"SOCKS5\",status=\"\(status)\"}") }
            for status in ["granted", "rejected"] {
                names.insert("usocksd_connections_total{version=\"SOCKS4_4a\",status=\"\(status)\"}")
            }
            for status in ["invalid_request", "unknown_version", "not_allowed"] {
                names.insert("usocksd_connections_total{version=\"unknown\",status=\"\(status)\"}")
            }
            for result in ["ok", "failed"] {
                for type in ["no_auth", "basic"] {
                    names.insert("usocksd_socks5_auth_negotiated_total{type=\"\(type)\",result=\"\(result)\"}")
                }
                for type in ["IPv4", "IPv6", "Domain_name", "unknown"] {
                    names.insert("usocksd_socks5_address_read_total{type=\"\(type)\",result=\"\(result)\"}")
                }
            }
            func histogram(_ name: String, _ labels: String, _ bounds: [String]) {
                for bound in bounds {
                    names.insert("\(name)_bucket{\(labels.isEmpty ? "" : labels + ",")le=\"\(bound)\"}")
                }
                for end in ["sum", "count"] { names.insert("\(name)_\(end)\(labels.isEmpty ? "" : "{\(labels)}")") }
            }
            for result in ["success", "error"] { histogram("usocksd_proxy_elapsed_seconds", "result=\"\(result)\"", seconds) }
            for way in ["tx", "rx"] {
                histogram("usocksd_proxy_\(way)_bytes", "", bytes)
                histogram("usocksd_proxy_\(way)_seconds", "", seconds)
            }
            return names
        }()

        @Test func namesLabelsAndCounts() throws {
            try playUsocksd { stage, usocksd in
                #expect(try Set(stage.metrics().keys) == Self.contract)
                let port = try stage.startEcho()
                let open = try stage.socksSession(to: port)
                try stage.expectEcho(open)
                let closed = try stage.socksSession(to: port)
                try stage.expectEcho(closed, String(repeating: "x", count: 1_000))
                try stage.client.shut(closed)
                try usocksd.waitForRecords("proxy ends")
                let reset = try stage.socksSession(to: port)
                try stage.expectEcho(reset)
                try stage.client.reset(reset)
                try usocksd.waitForRecords("proxy ends with an error")
                _ = try stage.curl(["--socks4a", "192.0.2.1:1080"], "http://loopback.example/")
                _ = try stage.curl(["--socks5-hostname", "192.0.2.1:1080"], "http://any.example:9/")

                let found = try stage.metrics()
                func expect(_ name: String, _ value: Double, sourceLocation: SourceLocation = #_sourceLocation) {
                    #expect(found["usocksd_" + name] == value, "\(name)", sourceLocation: sourceLocation)
                }
                expect(#"connections_total{version="SOCKS5",status="granted"}"#, 3)
                expect(#"connections_total{version="SOCKS5",status="connection_refused"}"#, 1)
                expect(#"connections_total{version="SOCKS4_4a",status="rejected"}"#, 1)
                expect(#"socks5_auth_negotiated_total{type="no_auth",result="ok"}"#, 4)
                expect(#"socks5_address_read_total{type="IPv4",result="ok"}"#, 3)
                expect(#"socks5_address_read_total{type="Domain_name",result="ok"}"#, 1)
                expect("proxy_inflight_requests", 1)
                expect(#"proxy_elapsed_seconds_count{result="success"}"#, 1)
                expect(#"proxy_elapsed_seconds_count{result="error"}"#, 1)
                expect("proxy_tx_bytes_sum", 1_004)
                expect("proxy_rx_bytes_sum", 1_004)
                expect(#"proxy_tx_bytes_bucket{le="256"}"#, 1)
                expect(#"proxy_tx_bytes_bucket{le="1024"}"#, 2)
                expect(#"proxy_tx_bytes_bucket{le="+Inf"}"#, 2)
                expect("proxy_tx_errors_total", 1)
                expect("proxy_rx_errors_total", 0)
                // One that is open does not last longer than usocksd's new configuration.
                try stage.client.shut(open)
                try usocksd.waitForRecords("proxy ends", 2)
                #expect(try stage.metrics()["usocksd_proxy_inflight_requests"] == 0)
            }
        }

        /// Unlike usocksd, which only logged it: each source address, and what the list says.
        @Test func whatBlockListsSay() throws {
            try play(Variant(), start: false) { stage in
                let router = stage.topology.router
                try router.ip("address add 198.51.100.7/24 dev wan\naddress add 198.51.100.8/24 dev wan")
                // On the list, not on it, and an answer that is none.
                let names = ["1.100.51.198.bl.test": [["127.0.0.2"]], "8.100.51.198.bl.test": [["192.0.2.99"]]]
                _ = try stage.peer(in: router).perform("name_server", ["names": names])
                var configuration = UsocksdConfiguration()
                configuration.outgoing = """
                    addresses = ["198.51.100.1", "198.51.100.7", "198.51.100.8"]
                    dnsbl_domain = "bl.test"
                    """
                let usocksd = try stage.startUsocksd(configuration, wrapper: HostNames(in: stage.topology.scratch).wrapper)
                func listed(_ address: String) -> String { "usocksd_dnsbl_listed{address=\"\(address)\"}" }
                func lookups(_ result: String) -> String { "usocksd_dnsbl_lookups_total{result=\"\(result)\"}" }
                let sources = ["198.51.100.1", "198.51.100.7", "198.51.100.8"]
                let results = ["listed", "not_listed", "failed"]
                let more = Set(sources.map(listed) + results.map(lookups))
                let found = try waitFor("an answer to each") {
                    let found = try stage.metrics()
                    return results.allSatisfy { found[lookups($0)] ?? 0 >= 1 } ? found : nil
                }
                #expect(Set(found.keys) == Self.contract.union(more))
                #expect(sources.map { found[listed($0)] } == [1, 0, 0])

                // Only addresses that are there still; what was counted stays.
                configuration.outgoing = "addresses = [\"198.51.100.1\", \"198.51.100.7\"]\ndnsbl_domain = \"bl.test\""
                try stage.topology.scratch.write(configuration.toml, to: "usocksd.toml")
                usocksd.program.signal(SIGHUP)
                try usocksd.waitUntilServing(times: 2)
                let after = try stage.metrics()
                #expect(Set(after.keys) == Self.contract.union(more.subtracting([listed("198.51.100.8")])))
                #expect(after[listed("198.51.100.1")] == 1 && after[lookups("failed")] ?? 0 >= 1)

                // Without a list there is nothing to tell.
                configuration.outgoing = "addresses = [\"198.51.100.1\"]"
                try stage.topology.scratch.write(configuration.toml, to: "usocksd.toml")
                usocksd.program.signal(SIGHUP)
                try usocksd.waitUntilServing(times: 3)
                #expect(try Set(stage.metrics().keys) == Self.contract)
            }
        }

        /// What Prometheus asks for, and what it gets.
        @Test func asPrometheusAsks() throws {
            try playUsocksd { stage, usocksd in
                let url = "http://[2001:db8:1::1]:1081/whatever"
                let text = try stage.topology.client.require(["curl", "-sS", "-i", "-g", url])
                #expect(text.contains("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
                #expect(text.contains("# TYPE usocksd_connections_total counter\n") && !text.contains("# EOF"))
                let accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
                let open = try stage.topology.client.require(["curl", "-sS", "-i", "-g", "-H", accept, url])
                #expect(open.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"))
                #expect(open.contains("# TYPE usocksd_connections counter\n") && open.hasSuffix("# EOF\n"))
                #expect(open.contains("\nusocksd_proxy_tx_bytes_bucket{le=\"256.0\"} 0\n"))
                let head = try stage.topology.client.require(["curl", "-sS", "-I", "-g", url])
                #expect(head.hasPrefix("HTTP/1.1 200 OK\r\n") && head.hasSuffix("\r\n\r\n"))
                // Scrapes are no news.
                #expect(try usocksd.records("well: access").isEmpty)
                let posted = try stage.topology.client.require(["curl", "-sS", "-g", "-d", "x", url])
                #expect(posted.hasPrefix("405 Method Not Allowed"))
                let said = try usocksd.waitForRecords("well: access")[0]
                #expect(said.string("severity") == "warning" && said.int("http_status_code") == 405)
                #expect(said.string("remote_ipaddr") == "2001:db8:1::2")
            }
        }

        /// Whoever asks and does not go on, or asks for too much, keeps nobody else from asking.
        @Test func badVisitorsDoNotMatter() throws {
            try playUsocksd { stage, usocksd in
                let address = Family.v4.routerTowardsClient
                let before = usocksd.descriptors("socket")
                let flood = try stage.client.perform("flood", ["host": address, "port": 1_081, "count": 40])
                let endless = try stage.client.connect(address, 1_081).socket
                try stage.client.send(endless, "GET /" + String(repeating: "x", count: 8_300))
                #expect(try stage.client.drain(endless, limit: 1 << 16).end == "fin")
                #expect(try Set(stage.metrics().keys) == Self.contract)
                try stage.client.perform("hang_up", ["sockets": flood.ints("sockets")])
                try waitUntil("no more sockets than before") { usocksd.descriptors("socket") <= before }
            }
        }

        /// usocksd forgot what it had counted, and could not bind the port again, which ended it.
        @Test func countsAndSocketsOutliveReloads() throws {
            try playUsocksd { stage, usocksd in
                let port = try stage.startEcho()
                let sockets = try Self.inodes(stage)
                for count in 1...2 {
                    let socket = try stage.socksSession(to: port)
                    try stage.expectEcho(socket)
                    try stage.client.shut(socket)
                    try usocksd.waitForRecords("proxy ends", count)
                    usocksd.program.signal(SIGHUP)
                    try usocksd.waitUntilServing(times: count + 1)
                    let found = try stage.metrics()
                    #expect(Set(found.keys) == Self.contract)
                    #expect(found[#"usocksd_connections_total{version="SOCKS5",status="granted"}"#] == Double(count))
                    #expect(found["usocksd_proxy_tx_bytes_count"] == Double(count))
                }
                #expect(try Self.inodes(stage) == sockets)
            }
        }

        /// Unlike usocksd's, which took a restart.
        @Test func theirPortMayChangeAtAReload() throws {
            try playUsocksd { stage, usocksd in
                var configuration = UsocksdConfiguration()
                configuration.incoming += "\nmetrics_port = 1082"
                try stage.topology.scratch.write(configuration.toml, to: "usocksd.toml")
                usocksd.program.signal(SIGHUP)
                try usocksd.waitUntilServing(times: 2)
                #expect(try Set(stage.metrics(port: 1_082).keys) == Self.contract)
                try waitUntil("the old port is left") { try !stage.topology.router.listeningPorts().contains(1_081) }

                // A port that is taken refuses the reload whole.
                let router = try stage.peer(in: stage.topology.router)
                _ = try router.listen("127.0.0.1", port: 1_083)
                configuration.incoming = "metrics_port = 1083\nport = 1090"
                try stage.topology.scratch.write(configuration.toml, to: "usocksd.toml")
                usocksd.program.signal(SIGHUP)
                let refused = try usocksd.waitForRecords("reload refused, the old configuration stays")[0]
                #expect(refused.string("reason").contains("Address already in use"))
                #expect(try stage.topology.router.listeningPorts().isSuperset(of: [1_080, 1_082]))
                #expect(try !stage.topology.router.listeningPorts().contains(1_090))

                configuration.incoming = "metrics_port = 0"
                try stage.topology.scratch.write(configuration.toml, to: "usocksd.toml")
                usocksd.program.signal(SIGHUP)
                try usocksd.waitUntilServing(times: 3)
                try waitUntil("no metrics") { try !stage.topology.router.listeningPorts().contains(1_082) }
            }
        }

        /// The listening sockets, by their inodes.
        private static func inodes(_ stage: Stage) throws -> Set<String> {
            let text = try stage.topology.router.require(["ss", "-Hltne", "sport", ">=", ":1080", "and", "sport", "<=", ":1081"])
            let inodes = Set(text.matches(of: /ino:([0-9]+)/).map { String($0.output.1) })
            #expect(inodes.count >= 4)
            return inodes
        }
    }
}
