extension Configuration {
    private static let topKeys = [
        "workers", "max_sessions", "max_flows", "min_body_rate", "relay", "batch", "log", "timeouts", "firewall", "listener",
        "upstream", "rule",
    ]
    private static let logKeys = ["level", "format", "file", "access"]
    private static let timeoutKeys = [
        "connect", "handshake", "bind", "sniff", "idle", "half_close", "flow", "flow_unanswered", "drain",
    ]
    private static let firewallKeys = ["manage", "on_down", "table", "priority", "mark", "route_table"]

    /// For a key that stands above the header of its table, or below that of another.
    private static func homes(except home: String) -> [String: String] {
        var homes: [String: String] = [:]
        for (name, keys) in [
            ("[log]", logKeys), ("[timeouts]", timeoutKeys), ("[firewall]", firewallKeys), ("[[listener]]", Listener.keys),
            ("[[upstream]]", ["url", "send_name"]), ("[[rule]]", ["domain", "domain_file", "destination_file", "action"]),
            ("the top of the file", ["workers", "max_sessions", "max_flows", "min_body_rate", "relay", "batch"]),
        ] where name != home {
            for key in keys { homes[key] = name }
        }
        return homes
    }

    mutating func read(_ root: Node, _ files: NamedFiles, _ collector: DiagnosticCollector) {
        let top = Section(
            root, named: "", keys: Self.topKeys, elsewhere: Self.homes(except: "the top of the file"),
            collector)
        workers = top.integer("workers", in: 0...1024) ?? workers
        maxSessions = top.integer("max_sessions", in: 0...10_000_000) ?? maxSessions
        maxFlows = top.integer("max_flows", in: 0...10_000_000) ?? maxFlows
        minBodyRate = top.integer("min_body_rate", in: 0...1_000_000_000) ?? minBodyRate
        relay = top.choice("relay", of: Relay.self) ?? relay
        batch = top.integer("batch", in: 1...256) ?? batch

        if let node = top.entries["log"] {
            let section = Section(node, named: "[log]", keys: Self.logKeys, elsewhere: Self.homes(except: "[log]"), collector)
            log.level = section.choice("level", of: Log.Level.self) ?? log.level
            log.format = section.choice("format", of: Log.Format.self) ?? log.format
            if let (path, _) = section.string("file"), !path.isEmpty { log.file = path }
            log.access = section.boolean("access") ?? log.access
        }
        if let node = top.entries["timeouts"] {
            timeouts.read(node, keys: Self.timeoutKeys, homes: Self.homes(except: "[timeouts]"), collector)
        }
        if let node = top.entries["firewall"] {
            firewall.read(node, keys: Self.firewallKeys, homes: Self.homes(except: "[firewall]"), collector)
            if case .table(let entries) = node.content {
                positions.firewall = entries.mapValues { collector.position($0.valueOffset) }
            }
        }
        if let node = top.entries["listener"] {
            readListeners(node, homes: Self.homes(except: "[[listener]]"), files, collector)
        }
        var wrong: Set<String> = []
        if let node = top.entries["upstream"] {
            wrong = readUpstreams(node, homes: Self.homes(except: "[[upstream]]"), files, collector)
        }
        // Last: rules name listeners and upstreams.
        if let node = top.entries["rule"] {
            readRules(node, except: wrong, homes: Self.homes(except: "[[rule]]"), files, collector)
        }
    }
}

extension Configuration.Timeouts {
    mutating func read(_ node: Node, keys: [String], homes: [String: String], _ collector: DiagnosticCollector) {
        let section = Section(node, named: "[timeouts]", keys: keys, elsewhere: homes, collector)
        connect = section.duration("connect", atLeast: .milliseconds(1)) ?? connect
        handshake = section.duration("handshake", atLeast: .milliseconds(1)) ?? handshake
        bind = section.duration("bind", atLeast: .milliseconds(1)) ?? bind
        sniff = section.duration("sniff", atLeast: .milliseconds(1)) ?? sniff
        idle = section.duration("idle") ?? idle
        halfClose = section.duration("half_close") ?? halfClose
        flow = section.duration("flow", atLeast: .seconds(1)) ?? flow
        flowUnanswered = section.duration("flow_unanswered", atLeast: .seconds(1)) ?? flowUnanswered
        drain = section.duration("drain") ?? drain
    }
}

extension Configuration.Firewall {
    mutating func read(_ node: Node, keys: [String], homes: [String: String], _ collector: DiagnosticCollector) {
        let section = Section(node, named: "[firewall]", keys: keys, elsewhere: homes, collector)
        manage = section.boolean("manage") ?? manage
        onDown = section.choice("on_down", of: OnDown.self) ?? onDown
        if let (text, offset) = section.string("table") {
            table = section.accept("table", offset) { () throws(Refusal) in try ValueSyntax.tableName(text) } ?? table
        }
        if let node = section.entries["priority"] {
            priority =
                section.accept("priority", node.valueOffset) { () throws(Refusal) in
                    switch node.content {
                    case .string(let text): return try ValueSyntax.priority(text)
                    case .integer(let number): return try ValueSyntax.priority(number)
                    default: throw Refusal("expected a name such as \"mangle\" or an integer, found \(node.kind)")
                    }
                } ?? priority
        }
        if let node = section.entries["mark"], let number = section.integer("mark", in: 0...Int(Self.highestMark)) {
            if number.nonzeroBitCount > 1 {
                collector.error(
                    at: node.valueOffset,
                    "mark: 0x\(String(number, radix: 16)) is not a single bit: give the lower bit of the two, such as 0x1000000")
            }
            mark = UInt32(number)
        }
        if let node = section.entries["route_table"], let number = section.integer("route_table", in: 0...Int(UInt32.max)) {
            routeTable = UInt32(number)
            if Self.reservedRouteTables.contains(routeTable) {
                collector.error(
                    at: node.valueOffset, "route_table: \(number) belongs to the system (253 default, 254 main, 255 local)")
            }
        }
    }
}
