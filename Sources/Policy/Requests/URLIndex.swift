internal import TransparentSockets

/// Which rules might have the URL of a request, by its host, port and path: however many there are of one host, few are looked at.
struct URLIndex: Sendable {
    /// Hosts by their names, and by their addresses, each with its number.
    private let names: DomainIndex
    private let addresses: NetworkIndex
    private let hosts: [Host]

    private struct Host {
        /// By ports.
        let paths: [UInt16: PathTable<UInt32>]
        /// All of them, in ascending order.
        let rules: [UInt32]
    }

    /// - Parameters:
    ///   - urls: with the rule each belongs to, in ascending order of these.
    ///   - numbers: of their hosts, from 0 on.
    init(_ urls: [(url: URLPattern, rule: UInt32)], _ numbers: HostNumbers) {
        var names: [(DomainPattern, UInt32)] = []
        var addresses: [(IPNetwork, UInt32)] = []
        for (host, number) in numbers.all {
            switch host {
            case .name(let pattern): names.append((pattern, number))
            case .address(let address): addresses.append((IPNetwork(address, prefixLength: address.isIPv6 ? 128 : 32), number))
            }
        }
        let urlsOfHosts = Dictionary(grouping: urls) { numbers.all[$0.url.host] ?? 0 }
        hosts = (0..<UInt32(numbers.all.count)).map { number in
            let urls = urlsOfHosts[number] ?? []
            let paths = Dictionary(grouping: urls, by: \.url.port).mapValues { urls in
                PathTable(urls.map { (path: $0.url.path, value: $0.rule) })
            }
            var rules: [UInt32] = []
            for url in urls where url.rule != rules.last { rules.append(url.rule) }
            return Host(paths: paths, rules: rules)
        }
        self.names = DomainIndex(names)
        self.addresses = NetworkIndex(addresses)
    }

    /// The hosts that it is for, by their numbers in ascending order: those of its name, or of the address that it names.
    func hosts(of query: Query) -> [UInt32] {
        guard !hosts.isEmpty, let request = query.request?.written, request.hasURL else { return [] }
        guard query.name == nil else { return hosts(name: query.name, address: nil).sorted() }
        let other = query.namedAddress.map { hosts(name: nil, address: $0) } ?? []
        return (hosts(name: nil, address: request.address) + other).sorted()
    }

    /// Calls `body` with rules that have a URL of one of these hosts and of that path, each list in ascending order. Whether their URLs are
    /// right in all that is written is theirs to say (``URLSet``).
    func forEachMatch(_ query: Query, hosts numbers: [UInt32], _ body: (Span<UInt32>) -> Void) {
        guard !numbers.isEmpty, let request = query.request?.written else { return }
        func tell(_ rules: [UInt32]) -> Bool {
            body(rules.span)
            return false
        }
        func look(at paths: PathTable<UInt32>?) {
            guard let paths else { return }
            _ = paths.contains(request.path, where: tell)
            if request.hasOtherPath { _ = paths.contains(request.resolvedPath, where: tell) }
        }
        for number in numbers {
            // It may be any path: each rule of the host once, however many URLs it has.
            guard !request.isPathAmbiguous else {
                _ = tell(hosts[Int(number)].rules)
                continue
            }
            let paths = hosts[Int(number)].paths
            look(at: paths[request.port])
            if request.port != query.port { look(at: paths[query.port]) }
        }
    }

    /// Calls `body` with all rules that have a URL of that host, whatever its path is.
    func forEachRule(name: DomainName?, address: IPAddress?, _ body: (Span<UInt32>) -> Void) {
        for number in hosts(name: name, address: address) {
            let rules = hosts[Int(number)].rules
            body(rules.span)
        }
    }

    private func hosts(name: DomainName?, address: IPAddress?) -> [UInt32] {
        var found: [UInt32] = []
        func add(_ numbers: borrowing Span<UInt32>) {
            for index in numbers.indices { found.append(numbers[index]) }
        }
        if let name { names.forEachMatch(name) { add($0) } }
        if let address { addresses.forEachMatch(address) { add($0) } }
        return found
    }
}

/// The hosts of all URLs of rules, by numbers, which are compared faster than names.
struct HostNumbers {
    private(set) var all: [URLPattern.Host: UInt32] = [:]

    init(_ rules: [Rule]) {
        for rule in rules {
            for url in rule.urls ?? [] where all[url.host] == nil { all[url.host] = UInt32(all.count) }
        }
    }
}
