internal import TransparentSockets

extension Listener {
    static let keys = [
        "name", "mode", "listen", "protocols", "interfaces", "local", "ports", "destinations", "exclude", "clients",
        "preserve_source",
    ]
    /// Each network is an element of an nft set; this many load within a second.
    static let networkLimit = 65_536
    static let portLimit = 4096
    static let interfaceLimit = 256
    static let addressLimit = 64
    static let listenerLimit = 256
}

extension Configuration {
    mutating func readListeners(_ node: Node, homes: [String: String], _ collector: DiagnosticCollector) {
        var nodes = [node]
        if case .array(let array) = node.content { nodes = array }
        guard !nodes.isEmpty else {
            collector.error(at: node.valueOffset, "listener: the list is empty, so nothing would be carried")
            return
        }
        guard nodes.count <= Listener.listenerLimit else {
            collector.error(at: node.keyOffset, "\(nodes.count) listeners; at most \(Listener.listenerLimit) are possible")
            return
        }
        listeners = []
        var names: [String: Int] = [:]
        var bound: [(address: ListenAddress, offset: Int)] = []
        for node in nodes {
            guard case .table = node.content else {
                collector.error(at: node.valueOffset, "listener: expected a table, [[listener]], found \(node.kind)")
                continue
            }
            let section = Section(node, named: "[[listener]]", keys: Listener.keys, elsewhere: homes, collector)
            var positions = SourceMap.ListenerPositions(table: collector.position(node.keyOffset))
            let listener = section.listener(at: node.keyOffset, managed: firewall.manage, &positions, bound: &bound)
            claim(listener, section, at: node.keyOffset, &names)
            listeners.append(listener)
            self.positions.listeners.append(positions)
        }
    }

    private func claim(_ listener: Listener, _ section: Section, at table: Int, _ names: inout [String: Int]) {
        // Without a good address there is no port to make a name of.
        guard section.entries["name"] != nil || !listener.listen.isEmpty else { return }
        let offset = section.entries["name"]?.valueOffset ?? table
        guard let first = names[listener.name] else {
            names[listener.name] = offset
            return
        }
        let name = quoted(listener.name)
        let subject =
            section.entries["name"] == nil ? "two listeners would be called \(name), so name one" : "name: \(name) is taken"
        section.collector.error(at: offset, "\(subject): the first is at line \(section.collector.position(first).line)")
    }
}

extension Section {
    fileprivate func listener(
        at offset: Int, managed: Bool, _ positions: inout SourceMap.ListenerPositions,
        bound: inout [(address: ListenAddress, offset: Int)]
    ) -> Listener {
        var listener = Listener()
        listener.mode = choice("mode", of: Listener.Mode.self, later: ["socks", "http"]) ?? listener.mode
        listener.local = boolean("local") ?? false

        let addresses = list(
            "listen", atMost: Listener.addressLimit, of: "an address and port such as \"[::]:1081\"", ValueSyntax.listenAddress)
        if let addresses {
            listener.listen = addresses.map(\.value)
            positions.listen = addresses.map { collector.position($0.offset) }
            requireEntries("listen", "no address to listen on")
        }
        for entry in addresses ?? [(listener.listen[0], offset)] { claim(entry.value, entry.offset, &bound) }

        let port = listener.listen.first.map { "\($0.value.port)" } ?? ""
        listener.name = "\(listener.mode.rawValue)-\(port)"
        if let (text, offset) = string("name") {
            listener.name = accept("name", offset) { () throws(Refusal) in try ValueSyntax.name(text) } ?? listener.name
        }
        if let protocols = list(
            "protocols", atMost: 2, { choice($0, "protocols", of: Listener.TransportProtocol.self, later: ["udp"]) })
        {
            requireEntries("protocols", "nothing would be intercepted")
            if protocols.count > 1 { collector.error(at: protocols[1].offset, "protocols: \"tcp\" is listed twice") }
        }
        if let interfaces = list(
            "interfaces", atMost: Listener.interfaceLimit, of: "the name of an interface", ValueSyntax.interface)
        {
            listener.interfaces = interfaces.map(\.value)
            positions.interfaces = interfaces.map { collector.position($0.offset) }
            var seen: Set<String> = []
            for (name, offset) in interfaces where !seen.insert(name).inserted {
                collector.error(at: offset, "interfaces: \(quoted(name)) is listed twice")
            }
        }
        if let ports = list("ports", atMost: Listener.portLimit, { ports($0, "ports") }) {
            listener.ports = ValueSyntax.merged(ports.map(\.value))
            requireEntries("ports", "nothing would be intercepted")
        }
        listener.destinations = networks("destinations")
        listener.exclude = networks("exclude")
        listener.clients = networks("clients")
        listener.preserveSource = preserveSource()
        checkScope(listener, at: offset, managed: managed)
        return listener
    }

    func requireEntries(_ key: String, _ consequence: String) {
        guard let node = entries[key], case .array(let elements) = node.content, elements.isEmpty else { return }
        collector.error(at: node.valueOffset, "\(key): the list is empty, so \(consequence)")
    }

    func ports(_ node: Node, _ key: String) -> ClosedRange<UInt16>? {
        accept(key, node.valueOffset) { () throws(Refusal) in
            switch node.content {
            case .integer(let number):
                let port = try ValueSyntax.port(number, as: "\(number)")
                return port...port
            case .string(let text): return try ValueSyntax.ports(text)
            default: throw Refusal("expected a port or a range such as \"8000-8999\", found \(node.kind)")
            }
        }
    }

    private func networks(_ key: String) -> [IPNetwork] {
        (list(key, atMost: Listener.networkLimit, of: "a network such as \"203.0.113.0/24\"", ValueSyntax.network) ?? []).map(
            \.value)
    }

    private func preserveSource() -> Listener.PreserveSource {
        guard let node = entries["preserve_source"] else { return .off }
        switch node.content {
        case .boolean(false): return .off
        case .string("address"): return .address
        case .string("address+port"): return .addressAndPort
        case .string(let text):
            let hint = suggestion(for: text, among: ["address", "address+port"])
            collector.error(
                at: node.valueOffset,
                "preserve_source: expected false, \"address\" or \"address+port\", found \(quoted(text))\(hint)")
        default: mismatch(node, "preserve_source", expected: "false, \"address\" or \"address+port\"")
        }
        return .off
    }

    /// What each value says is fine, but together they cannot be meant. A key that is wrong in itself was reported already.
    private func checkScope(_ listener: Listener, at offset: Int, managed: Bool) {
        let isGateway = entries["interfaces"].map { if case .array(let list) = $0.content { !list.isEmpty } else { true } } ?? false
        if managed, !isGateway, !listener.local,
            entries["local"].map({ if case .boolean = $0.content { true } else { false } }) ?? true
        {
            collector.error(
                at: offset,
                "this listener intercepts nothing: set interfaces = [\"…\"] for what arrives there, or local = true for this host's own"
            )
        }
    }

    /// Two listeners on one address would share its connections at random.
    private func claim(_ address: ListenAddress, _ offset: Int, _ bound: inout [(address: ListenAddress, offset: Int)]) {
        if let first = bound.first(where: { overlaps($0.address.value, address.value) }) {
            let line = collector.position(first.offset).line
            let relation = first.address == address ? "is taken" : "overlaps with \"\(first.address)\""
            collector.error(at: offset, "listen: \"\(address)\" \(relation): the first is at line \(line)")
        } else {
            bound.append((address, offset))
        }
    }

    private func overlaps(_ left: SocketAddress, _ right: SocketAddress) -> Bool {
        guard left.port == right.port else { return false }
        func covers(_ wide: IPAddress, _ narrow: IPAddress) -> Bool { wide.isUnspecified && (wide.isIPv6 || !narrow.isIPv6) }
        return left.address == right.address || covers(left.address, right.address) || covers(right.address, left.address)
    }
}
