internal import Policy
internal import TransparentSockets

extension Configuration {
    static let ruleKeys = [
        "domain", "domain_file", "destination", "destination_file", "port", "client", "listener", "user", "method", "path",
        "url", "header", "content_type", "time", "protocol", "action", "status", "page", "location",
    ]
    static let ruleLimit = 65_536
    /// Domains or networks of one rule, without those in files: ``NamedFiles/entryLimit``.
    static let entryLimit = 262_144

    mutating func readRules(
        _ node: Node, except wrong: Set<String>, homes: [String: String], _ files: NamedFiles, _ collector: DiagnosticCollector
    ) {
        var patterns = PatternCount()
        for node in tables(node, "rule", atMost: Self.ruleLimit, collector) {
            let section = Section(node, named: "[[rule]]", keys: Self.ruleKeys, elsewhere: homes, collector)
            var rule = Rule(action: .direct)
            if let action = section.required(
                "action", at: node.keyOffset, { text throws(Refusal) in try action(text, except: wrong) })
            {
                rule.action = action
            }
            rule.domains = joined(
                section.criterion("domain", "a name such as \"example.com\" or \"*.example.com\"") { text throws(Refusal) in
                    let bytes = Array(text.utf8)
                    return try ValueSyntax.domain(bytes.span)
                },
                listed("domain_file", section, files, files.domains))
            rule.destinations = joined(
                section.criterion("destination", "a network such as \"203.0.113.0/24\"", ValueSyntax.network),
                listed("destination_file", section, files, files.networks))
            rule.clients = section.criterion("client", "a network such as \"10.0.0.0/8\"", ValueSyntax.network)
            rule.listeners = section.criterion("listener", "the name of a listener") { text throws(Refusal) in
                let names = listeners.map(\.name)
                guard names.contains(text) else {
                    throw Refusal("there is no listener \(quoted(text))\(suggestion(for: text, among: names))")
                }
                return text
            }
            rule.users = section.criterion("user", "the name of a user") { text throws(Refusal) in
                guard !text.isEmpty else { throw Refusal("the name is empty") }
                return text
            }
            section.readRequestCriteria(into: &rule)
            if let refusal = patterns.add(rule) { collector.error(at: node.keyOffset, refusal) }
            section.readRejection(into: &rule, files)
            rule.ports = section.portCriterion("port")
            rule.transport = section.choice("protocol", of: TransportProtocol.self)
            rules.append(rule)
            positions.rules.append(collector.position(node.keyOffset))
        }
    }

    private func action(_ text: String, except wrong: Set<String>) throws(Refusal) -> Action {
        switch text {
        case "direct": return .direct
        // What is no request cannot be sent elsewhere.
        case "reject", "redirect": return .reject
        default:
            if let index = upstreams.firstIndex(where: { $0.name == text }) { return .upstream(index) }
            if wrong.contains(text) { return .direct }
            let names = Upstream.reservedNames + upstreams.map(\.name)
            throw Refusal("there is no upstream \(quoted(text))\(suggestion(for: text, among: names))")
        }
    }

    /// The entries of all files that a key names; nil: there is no such key.
    ///
    /// A file without any is not the key left out: what the criterion asks for must not become everything.
    private mutating func listed<Value>(
        _ key: String, _ section: Section, _ files: NamedFiles, _ read: (String) throws(Refusal) -> [Value]
    ) -> [Value]? {
        let parts = section.list(key, atMost: NamedFiles.fileLimit, of: "the path of a file") { path throws(Refusal) in
            (file: files.file(path), entries: try read(path))
        }
        section.requireEntries(key, "leave it out if all are meant")
        for (part, offset) in parts ?? [] where part.entries.isEmpty {
            positions.emptyLists.append((section.collector.position(offset), part.file, rules.count))
        }
        // Most often there is one, whose entries are then shared and not copied.
        if let parts, parts.count == 1 { return parts[0].value.entries }
        return parts?.flatMap(\.value.entries)
    }

    private func joined<Value>(_ written: [Value]?, _ listed: [Value]?) -> [Value]? {
        guard let written, let listed else { return written ?? listed }
        return written + listed
    }
}

extension Section {
    /// A criterion that is there asks for something: an empty list would match all or nothing, and nobody knows which.
    func criterion<Value>(
        _ key: String, _ expected: String, atMost limit: Int = Configuration.entryLimit,
        _ parse: (String) throws(Refusal) -> Value
    ) -> [Value]? {
        let values = list(key, atMost: limit, of: expected, parse)
        requireEntries(key, "leave it out if all are meant")
        return values?.map(\.value)
    }

    fileprivate func portCriterion(_ key: String) -> [ClosedRange<UInt16>]? {
        let values = list(key, atMost: Listener.portLimit) { ports($0, key) }
        requireEntries(key, "leave it out if all are meant")
        return values.map { ValueSyntax.merged($0.map(\.value)) }
    }
}
