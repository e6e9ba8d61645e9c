internal import Policy
internal import TransparentSockets

extension Configuration {
    static let ruleKeys = ["domain", "destination", "port", "client", "listener", "protocol", "action"]
    static let laterRuleKeys = ["domain_file", "destination_file"]
    static let ruleLimit = 65_536
    /// Domains or networks of one rule.
    static let entryLimit = 262_144

    /// - Returns: names of upstreams that are wrong otherwise, so that rules which use them are not wrong too.
    mutating func readUpstreams(_ node: Node, homes: [String: String], _ collector: DiagnosticCollector) -> Set<String> {
        var wrong: Set<String> = []
        var names: [String: Int] = [:]
        for node in tables(node, "upstream", atMost: Upstream.limit, collector) {
            let section = Section(
                node, named: "[[upstream]]", keys: Upstream.keys, later: Upstream.laterKeys, elsewhere: homes, collector)
            let name = section.required("name", at: node.keyOffset) { text throws(Refusal) in
                let name = try ValueSyntax.name(text)
                guard !Upstream.reservedNames.contains(name) else { throw Refusal("\(quoted(name)) exists already") }
                return name
            }
            if let name, let offset = section.entries["name"]?.valueOffset {
                if let first = names[name] {
                    let line = collector.position(first).line
                    collector.error(at: offset, "name: \(quoted(name)) is taken: the first is at line \(line)")
                }
                names[name] = names[name] ?? offset
            }
            let url = section.required("url", at: node.keyOffset) { text throws(Refusal) in try ValueSyntax.upstream(text) }
            let sendName = section.boolean("send_name")
            if let url, url.scheme == .socks5, sendName == true, let offset = section.entries["send_name"]?.valueOffset {
                collector.error(at: offset, "send_name: with socks5 the proxy is given addresses; did you mean socks5h?")
            }
            guard let url else {
                if let name { wrong.insert(name) }
                continue
            }
            upstreams.append(
                Upstream(
                    name: name ?? "", scheme: url.scheme, address: url.address, user: url.user, password: url.password,
                    sendName: sendName ?? (url.scheme != .socks5)))
        }
        return wrong
    }

    mutating func readRules(_ node: Node, except wrong: Set<String>, homes: [String: String], _ collector: DiagnosticCollector) {
        for node in tables(node, "rule", atMost: Self.ruleLimit, collector) {
            let section = Section(
                node, named: "[[rule]]", keys: Self.ruleKeys, later: Self.laterRuleKeys, elsewhere: homes, collector)
            var rule = Rule(action: .direct)
            if let action = section.required(
                "action", at: node.keyOffset, { text throws(Refusal) in try action(text, except: wrong) })
            {
                rule.action = action
            }
            rule.domains = section.criterion("domain", "a name such as \"example.com\" or \"*.example.com\"") {
                text throws(Refusal) in
                try Self.domain(text)
            }
            rule.destinations = section.criterion("destination", "a network such as \"203.0.113.0/24\"", ValueSyntax.network)
            rule.clients = section.criterion("client", "a network such as \"10.0.0.0/8\"", ValueSyntax.network)
            rule.listeners = section.criterion("listener", "the name of a listener") { text throws(Refusal) in
                let names = listeners.map(\.name)
                guard names.contains(text) else {
                    throw Refusal("there is no listener \(quoted(text))\(suggestion(for: text, among: names))")
                }
                return text
            }
            rule.ports = section.portCriterion("port")
            if let transport = section.choice("protocol", of: Listener.TransportProtocol.self, later: ["udp"]) {
                rule.transport = transport == .tcp ? .tcp : nil
            }
            rules.append(rule)
            positions.rules.append(collector.position(node.keyOffset))
        }
    }

    private func action(_ text: String, except wrong: Set<String>) throws(Refusal) -> Action {
        switch text {
        case "direct": return .direct
        case "reject": return .reject
        default:
            if let index = upstreams.firstIndex(where: { $0.name == text }) { return .upstream(index) }
            if wrong.contains(text) { return .direct }
            let names = Upstream.reservedNames + upstreams.map(\.name)
            throw Refusal("there is no upstream \(quoted(text))\(suggestion(for: text, among: names))")
        }
    }

    private static func domain(_ text: String) throws(Refusal) -> DomainPattern {
        if let pattern = DomainPattern(text) { return pattern }
        let name = text.hasPrefix("*.") ? text.dropFirst(2) : text[...]
        if let address = IPAddress(anySpelling: name) {
            throw Refusal("\(quoted(text)) is the address \(address): it belongs into destination")
        }
        if !text.utf8.allSatisfy({ $0 < 0x80 }) {
            throw Refusal("\(quoted(text)): names beyond ASCII are not yet supported: write its A-labels (xn--…)")
        }
        throw Refusal("\(quoted(text)) is no name, such as \"example.com\" or \"*.example.com\"")
    }

    private func tables(_ node: Node, _ key: String, atMost limit: Int, _ collector: DiagnosticCollector) -> [Node] {
        var nodes = [node]
        if case .array(let array) = node.content { nodes = array }
        guard nodes.count <= limit else {
            collector.error(at: node.keyOffset, "\(nodes.count) tables [[\(key)]]; at most \(limit) are possible")
            return []
        }
        return nodes.filter { node in
            if case .table = node.content { return true }
            collector.error(at: node.valueOffset, "\(key): expected a table, [[\(key)]], found \(node.kind)")
            return false
        }
    }
}

extension Section {
    fileprivate func required<Value>(_ key: String, at table: Int, _ parse: (String) throws(Refusal) -> Value) -> Value? {
        guard entries[key] != nil else {
            collector.error(at: table, "\(key) is missing")
            return nil
        }
        guard let (text, offset) = string(key) else { return nil }
        return accept(key, offset) { () throws(Refusal) in try parse(text) }
    }

    /// A criterion that is there asks for something: an empty list would match all or nothing, and nobody knows which.
    fileprivate func criterion<Value>(_ key: String, _ expected: String, _ parse: (String) throws(Refusal) -> Value) -> [Value] {
        let values = list(key, atMost: Configuration.entryLimit, of: expected, parse)
        requireEntries(key, "leave it out if all are meant")
        return (values ?? []).map(\.value)
    }

    fileprivate func portCriterion(_ key: String) -> [ClosedRange<UInt16>] {
        let values = list(key, atMost: Listener.portLimit) { ports($0, key) }
        requireEntries(key, "leave it out if all are meant")
        return ValueSyntax.merged((values ?? []).map(\.value))
    }
}
