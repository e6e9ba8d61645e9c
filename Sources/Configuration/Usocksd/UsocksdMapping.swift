internal import Policy
public import TransparentSockets

extension Configuration {
    /// What a usocksd of that configuration does, in Clearway's terms: it serves SOCKS and connects straight to what is asked for.
    public init(_ file: UsocksdFile) throws(DropInError) {
        self = .embeddedDefault
        log = try Log(file.log)
        let clients = try file.clients()
        listeners = try file.listening().map { address in
            var listener = Listener()
            // As its log calls them.
            listener.name = address.description
            listener.mode = .socks
            listener.listen = [address]
            listener.local = false
            listener.clients = clients ?? UsocksdFile.neighbours
            listener.servesBind = false
            // Who says whom to serve has hosts of their own in mind. Loopback, link-local addresses, among them clouds' metadata, and
            // this host's own are nobody's destinations.
            listener.reach = Reach(allowsPrivateUse: clients != nil)
            return listener
        }
        metrics = try file.metricsAddresses()
        if let exit = try file.exit() {
            upstreams = [Upstream(name: "outgoing", members: [], exit: exit)]
        }
        rules = try file.rules(upstreams.isEmpty ? .direct : .upstream(0))
        firewall.manage = false
        // usocksd gave the handshake and the dialling 10 s together, and nothing else any limit.
        timeouts.handshake = .seconds(10)
        timeouts.connect = .seconds(10)
        // Shorter than systemd's patience, so that the sessions left are ended in order, and said.
        timeouts.drain = .seconds(60)
        // Long enough for whoever was well without a limit, and not for ever.
        timeouts.idle = .seconds(24 * 3_600)
        timeouts.halfClose = .seconds(3_600)
    }
}

extension UsocksdFile {
    /// Whom a usocksd serves that nobody has told whom to serve: this host and the networks that no stranger comes from. Without
    /// 100.64.0.0/10, in which a provider's other customers are.
    public static let neighbours: [IPNetwork] = [
        ("127.0.0.0", 8), ("10.0.0.0", 8), ("172.16.0.0", 12), ("192.168.0.0", 16), ("169.254.0.0", 16), ("::1", 128),
        ("fe80::", 10), ("fc00::", 7),
    ].compactMap { text, length in IPAddress(text).map { IPNetwork($0, prefixLength: length) } }

    fileprivate func listening() throws(DropInError) -> [ListenAddress] {
        // Each worker has a socket of its own, and all of them the same port; and who was to know which.
        guard port != 0, let port = UInt16(exactly: port) else { throw DropInError("listen tcp: address \(port): invalid port") }
        var found: [ListenAddress] = []
        for text in addresses {
            let address = try Self.address(text)
            let bound = ListenAddress(SocketAddress(address.isUnspecified ? Self.wildcard : address, port: port))
            guard !found.contains(bound) else { throw DropInError("incoming.addresses: \(text) is listed twice") }
            found.append(bound)
        }
        return found.isEmpty ? [ListenAddress(SocketAddress(Self.wildcard, port: port))] : found
    }

    fileprivate func metricsAddresses() throws(DropInError) -> [ListenAddress] {
        guard let port = UInt16(exactly: metricsPort) else { throw DropInError("listen tcp: address \(metricsPort): invalid port") }
        // A port that nobody knows serves nobody, so 0 is the way to say that there shall be none.
        return port == 0 ? [] : [ListenAddress(SocketAddress(Self.wildcard, port: port))]
    }

    private static let wildcard = IPAddress.v6(IPv6Address(high: 0, low: 0))

    private static func address(_ text: String) throws(DropInError) -> IPAddress {
        guard let address = IPAddress(text) else { throw DropInError("invalid IP address: \(text)") }
        return address.unmapped
    }

    /// nil: nobody is named.
    fileprivate func clients() throws(DropInError) -> [IPNetwork]? {
        var networks: [IPNetwork] = []
        for text in allowFrom {
            // An address is one host, of either family. (usocksd's IPv6 hosts were /32: whole providers.)
            let whole = text.contains("/") ? text : text + (text.contains(":") ? "/128" : "/32")
            do throws(IPNetwork.ParseError) {
                networks.append(try IPNetwork(parsing: text))
            } catch {
                // As in Go, what is set outside the mask does not count.
                guard case .hostBits(let network) = error else { throw DropInError("Invalid network or IP address: \(whole)") }
                networks.append(network)
            }
        }
        return networks.isEmpty ? nil : networks
    }

    /// nil: the kernel chooses everything.
    fileprivate func exit() throws(DropInError) -> Upstream.Exit? {
        var exit = Upstream.Exit()
        for text in sources {
            let address = try Self.address(text)
            guard !address.isUnspecified, !address.isMulticast else { throw DropInError("invalid IP address: \(text)") }
            guard !exit.sources.contains(address) else { throw DropInError("outgoing.addresses: \(text) is listed twice") }
            exit.sources.append(address)
        }
        if !interface.isEmpty {
            do throws(Refusal) {
                exit.device = try ValueSyntax.interface(interface)
            } catch {
                throw DropInError("outgoing.iface: \(error.message)")
            }
            guard !interface.hasSuffix("*") else { throw DropInError("outgoing.iface: \(interface) is no single interface") }
        }
        if !blockList.isEmpty {
            guard let name = DomainName(blockList) else { throw DropInError("outgoing.dnsbl_domain: \(blockList) is no domain") }
            exit.blockList = name
        }
        // Without addresses there is nothing to ask a list for.
        if exit.sources.isEmpty { exit.blockList = nil }
        return exit == Upstream.Exit() ? nil : exit
    }

    // MARK: Sites and ports

    /// Ports and sites that are denied, then sites that are allowed; if there are such, nothing else is.
    ///
    /// - Parameter allowed: what becomes of what is not denied.
    fileprivate func rules(_ allowed: Action) throws(DropInError) -> [Rule] {
        var rules: [Rule] = []
        if !denyPorts.isEmpty {
            var rule = Rule(action: .reject)
            rule.ports = []
            for number in denyPorts {
                guard let port = UInt16(exactly: number) else { throw DropInError("outgoing.deny_ports: \(number) is no port") }
                rule.ports?.append(port...port)
            }
            rules.append(rule)
        }
        rules += try Sites(denySites, "deny_sites").rules(.reject)
        guard !allowSites.isEmpty else { return allowed == .direct ? rules : rules + [Rule(action: allowed)] }
        return rules + (try Sites(allowSites, "allow_sites").rules(allowed)) + [Rule(action: .reject)]
    }

    /// A list of sites, by what each of them is.
    private struct Sites {
        var domains: [DomainPattern] = []
        var addresses: [IPNetwork] = []
        /// `""`: all requests for an address.
        var hasUnnamed = false

        init(_ texts: [String], _ key: String) throws(DropInError) {
            for text in texts {
                // usocksd took an address in such a list for a name, which only clients have that write an address as one.
                if let address = IPAddress(text)?.unmapped {
                    addresses.append(IPNetwork(address, prefixLength: address.isIPv6 ? 128 : 32))
                } else if text.isEmpty {
                    hasUnnamed = true
                } else {
                    let isBelow = text.hasPrefix(".")
                    let name = Array((isBelow ? text.dropFirst() : text[...]).utf8)
                    do throws(DomainName.WritingError) {
                        domains.append(DomainPattern(try DomainName(written: name.span), isBelow: isBelow))
                    } catch {
                        throw DropInError("outgoing.\(key): \(quoted(text)) is no host name")
                    }
                }
            }
        }

        func rules(_ action: Action) -> [Rule] {
            var rules: [Rule] = []
            if !domains.isEmpty {
                rules.append(Rule(action: action))
                rules[rules.count - 1].domains = domains
            }
            if !addresses.isEmpty {
                var rule = Rule(action: action)
                rule.destinations = addresses
                // Whoever may go to an address may not for that go to every name that claims it; who may not go there may not by name.
                rule.isNamed = action == .reject ? nil : false
                rules.append(rule)
            }
            if hasUnnamed {
                var rule = Rule(action: action)
                rule.isNamed = false
                rules.append(rule)
            }
            return rules
        }
    }
}
