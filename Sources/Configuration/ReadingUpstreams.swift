internal import TransparentSockets

extension Configuration {
    /// - Returns: names of upstreams that are wrong otherwise, so that rules which use them are not wrong too.
    mutating func readUpstreams(
        _ node: Node, homes: [String: String], _ files: NamedFiles, _ collector: DiagnosticCollector
    ) -> Set<String> {
        var wrong: Set<String> = []
        var names: [String: Int] = [:]
        /// By place in ``upstreams``.
        var chained: [Int: (text: String, offset: Int)] = [:]
        for node in tables(node, "upstream", atMost: Upstream.limit, collector) {
            let section = Section(node, named: "[[upstream]]", keys: Upstream.keys, elsewhere: homes, collector)
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
            guard let upstream = section.upstream(name ?? "", files, at: node.keyOffset) else {
                if let name { wrong.insert(name) }
                continue
            }
            if let via = section.string("via") { chained[upstreams.count] = via }
            upstreams.append(upstream)
        }
        for (index, via) in chained.sorted(by: { $0.key < $1.key }) {
            guard let behind = upstreams.firstIndex(where: { $0.name == via.text }) else {
                guard !wrong.contains(via.text) else { continue }
                let names = upstreams.map(\.name).filter { $0 != upstreams[index].name }
                collector.error(
                    at: via.offset, "via: there is no upstream \(quoted(via.text))\(suggestion(for: via.text, among: names))")
                continue
            }
            upstreams[index].via = behind
        }
        checkChains(chained.mapValues(\.offset), collector)
        return wrong
    }

    private mutating func checkChains(_ offsets: [Int: Int], _ collector: DiagnosticCollector) {
        for (index, offset) in offsets.sorted(by: { $0.key < $1.key }) {
            var chain = [index]
            while let next = upstreams[chain.last!].via {
                guard !chain.contains(next) else {
                    let names = (chain + [next]).map { upstreams[$0].name }.joined(separator: " via ")
                    collector.error(at: offset, "via: a chain that comes back to itself: \(names)")
                    // Said once.
                    upstreams[index].via = nil
                    break
                }
                chain.append(next)
                guard chain.count <= Upstream.longestChain else {
                    collector.error(at: offset, "via: more than \(Upstream.longestChain) upstreams behind each other")
                    upstreams[index].via = nil
                    break
                }
            }
        }
    }

    func tables(_ node: Node, _ key: String, atMost limit: Int, _ collector: DiagnosticCollector) -> [Node] {
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
    /// - Parameter table: where the table stands.
    fileprivate func upstream(_ name: String, _ files: NamedFiles, at table: Int) -> Upstream? {
        if case .string(Upstream.exitURL) = entries["url"]?.content { return exit(name) }
        refuse(Upstream.exitKeys, because: "only with url = \(quoted(Upstream.exitURL))")
        let members = self.members(files, at: table)
        var upstream = Upstream(name: name, members: (members ?? []).map(\.value))
        upstream.balancing = choice("policy", of: Upstream.Balancing.self) ?? upstream.balancing
        upstream.check = checkInterval() ?? (upstream.members.count > 1 ? Upstream.defaultCheck : .zero)
        upstream.sendProxy = boolean("send_proxy") ?? false
        upstream.sendName = boolean("send_name") ?? true
        if entries["send_name"] != nil, upstream.sendName, let first = upstream.members.first(where: { $0.scheme == .socks5 }),
            let offset = entries["send_name"]?.valueOffset
        {
            collector.error(
                at: offset, "send_name: with socks5 the proxy is given addresses; did you mean socks5h://\(first.endpoint)?")
        }
        upstream.pipeline = boolean("pipeline") ?? false
        if upstream.pipeline, let offset = entries["pipeline"]?.valueOffset,
            let first = upstream.members.first(where: { !$0.isPipelinable })
        {
            collector.error(at: offset, "pipeline: only with SOCKS5 and without a user name; not with \(first)")
        }
        return members == nil ? nil : upstream
    }

    private func refuse(_ keys: [String], because reason: String) {
        for key in keys { if let node = entries[key] { collector.error(at: node.keyOffset, "\(key): \(reason)") } }
    }

    /// Not nil even when something is wrong: that was told.
    private func exit(_ name: String) -> Upstream {
        refuse(Upstream.proxyKeys, because: "not with url = \(quoted(Upstream.exitURL)), where there is no proxy")
        var exit = Upstream.Exit()
        let sources = list("source", atMost: Upstream.sourceLimit, of: "an address such as \"198.51.100.1\"", ValueSyntax.source)
        requireEntries("source", "leave it out if the kernel is to choose")
        for (index, source) in (sources ?? []).enumerated() {
            if sources![..<index].contains(where: { $0.value == source.value }) {
                collector.error(at: source.offset, "source: \(source.value) is there already")
            }
        }
        exit.sources = (sources ?? []).map(\.value)
        if let (text, offset) = string("device") {
            exit.device = accept("device", offset) { () throws(Refusal) in try ValueSyntax.device(text) }
        }
        // 0 is none: what leaves without one cannot be told from what others send.
        if let number = integer("mark", in: 1...Int(UInt32.max)) { exit.mark = UInt32(number) }
        if let (text, offset) = string("block_list") {
            exit.blockList = accept("block_list", offset) { () throws(Refusal) in try ValueSyntax.blockList(text) }
            if entries["source"] == nil { collector.error(at: offset, "block_list: without source there is nothing to ask for") }
        }
        var upstream = Upstream(name: name, members: [])
        upstream.exit = exit
        return upstream
    }

    func checkInterval() -> Duration? {
        guard let interval = duration("check") else { return nil }
        if interval != .zero, interval < Upstream.leastCheck, let node = entries["check"] {
            collector.error(at: node.valueOffset, "check: a proxy needs time to answer: 0s, or at least 100ms")
        }
        return interval
    }

    private func members(_ files: NamedFiles, at table: Int) -> [(value: Upstream.Member, offset: Int)]? {
        let parse: (String) throws(Refusal) -> Upstream.Member = { text throws(Refusal) in try ValueSyntax.member(text, files) }
        guard let urls = entries["urls"] else {
            return required("url", at: table, parse).map { [($0, entries["url"]!.valueOffset)] }
        }
        if let url = entries["url"] {
            collector.error(at: url.keyOffset, "url: urls at line \(collector.position(urls.keyOffset).line) is for the same")
            return nil
        }
        guard let members = list("urls", atMost: Upstream.memberLimit, of: "a URL such as \"socks5://10.0.0.1:1080\"", parse)
        else { return nil }
        var count = 1
        if case .array(let elements) = urls.content { count = elements.count }
        guard count > 0 else {
            collector.error(at: urls.valueOffset, "urls: at least one is needed")
            return nil
        }
        for (index, member) in members.enumerated() {
            let isRepeated = members[..<index].contains { "\($0.value)" == "\(member.value)" }
            if isRepeated { collector.error(at: member.offset, "urls: \(member.value) is there already") }
        }
        return members.count == count ? members : nil
    }

    func required<Value>(_ key: String, at table: Int, _ parse: (String) throws(Refusal) -> Value) -> Value? {
        guard entries[key] != nil else {
            collector.error(at: table, "\(key) is missing")
            return nil
        }
        guard let (text, offset) = string(key) else { return nil }
        return accept(key, offset) { () throws(Refusal) in try parse(text) }
    }

}
