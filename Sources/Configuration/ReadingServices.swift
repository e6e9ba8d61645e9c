internal import Protocols

extension Listener.AuthRequest {
    static let keys = ["url", "timeout", "cache", "key", "pass"]
    static let fieldLimit = 32
    /// Fields that the service is told by us.
    static let ownFields = [
        "x-original-method", "x-original-url", "x-original-client", "x-original-destination", "x-original-listener",
    ]
    /// Fields that end at the next hop, or say how a message is framed or where it goes.
    private static let fixedFields = [
        "connection", "content-length", "expect", "host", "keep-alive", "max-forwards", "proxy", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "via",
    ]

    static func field(_ text: String) throws(Refusal) -> String {
        guard 1...128 ~= text.utf8.count, text.utf8.allSatisfy(ValueSyntax.isTokenOctet) else {
            throw Refusal("\(quoted(text)) is no name of a header field, such as \"Authorization\"")
        }
        // Programs that are run as CGI know no difference.
        guard !FieldNames(ownFields).contain(text) else { throw Refusal("\(text) is what the service is told by us") }
        guard !FieldNames(fixedFields).contain(text) else {
            throw Refusal("\(text) belongs to one connection, or is ours to write")
        }
        return text
    }
}

extension Section {
    /// The table `[listener.auth_request]`.
    func authRequest(_ listener: Listener) -> Listener.AuthRequest? {
        guard let node = entries["auth_request"] else { return nil }
        // What was meant for the listener, and made this necessary, may stand below the header of this table.
        let home = "[[listener]]: write it above [listener.auth_request]"
        let section = Section(
            node, named: "[listener.auth_request]", keys: Listener.AuthRequest.keys,
            elsewhere: Dictionary(uniqueKeysWithValues: Listener.keys.map { ($0, home) }), collector)
        guard listener.understandsHTTP else {
            collector.error(at: node.keyOffset, "auth_request: only where HTTP is understood, with http = true")
            return nil
        }
        // A node that is no table was reported.
        guard case .table = node.content else { return nil }
        let service = section.required("url", at: node.keyOffset) { text throws(Refusal) in try ValueSyntax.service(text) }
        let timeout = section.duration("timeout", atLeast: .milliseconds(1))
        let cache = section.duration("cache")
        let key = section.fields("key")
        let pass = section.fields("pass")
        for (name, offset) in pass {
            guard let reason = whyNotPassed(name, listener) else { continue }
            collector.error(at: offset, "pass: \(name) \(reason)")
        }
        guard let service else { return nil }
        var request = Listener.AuthRequest(service: service, key: key.map(\.value), pass: pass.map(\.value))
        request.timeout = timeout ?? request.timeout
        request.cache = cache ?? request.cache
        return request
    }

    /// Of one name there is one field to the server: whose it would be, that of the service or ours, nobody could tell.
    private func whyNotPassed(_ name: String, _ listener: Listener) -> String? {
        if namesChanged("request_headers").contain(name) {
            return "is in request_headers, too: the server would not know whose it is; leave it out of one of them"
        }
        guard !listener.origins.isEmpty else { return nil }
        if FieldNames(["Forwarded"]).contain(name) { return "is what this proxy tells servers behind an origin itself" }
        if listener.addsXForwarded, FieldNames(["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"]).contain(name) {
            return "is what this proxy tells servers itself, with x_forwarded = true"
        }
        return nil
    }

    private func fields(_ key: String) -> [(value: String, offset: Int)] {
        let names = list(
            key, atMost: Listener.AuthRequest.fieldLimit, of: "the name of a header field such as \"Authorization\"",
            Listener.AuthRequest.field)
        for (index, (name, offset)) in (names ?? []).enumerated()
        where FieldNames((names ?? []).prefix(index).map(\.value)).contain(name) {
            collector.error(at: offset, "\(key): \(quoted(name)) is listed twice")
        }
        return names ?? []
    }
}

/// The services of ICAP that a file names, by name; nil: it is wrong otherwise, which is no reason to say that it does not exist.
typealias ReadServices = [String: Int?]

extension ICAPService {
    static let keys = ["name", "request", "response", "timeout", "on_failure", "max_connections"]
    static let limit = 64
}

extension Configuration {
    mutating func readServices(_ node: Node?, _ collector: DiagnosticCollector) -> ReadServices {
        var read: ReadServices = [:]
        guard let node else { return read }
        for node in tables(node, "icap", atMost: ICAPService.limit, collector) {
            let section = Section(node, named: "[[icap]]", keys: ICAPService.keys, collector)
            let name = section.required("name", at: node.keyOffset) { text throws(Refusal) in try ValueSyntax.name(text) }
            let service = section.icapService(name ?? "", at: node.keyOffset)
            guard let name, let offset = section.entries["name"]?.valueOffset else { continue }
            guard read[name] == nil else {
                collector.error(at: offset, "name: \(quoted(name)) is taken")
                continue
            }
            guard let service else {
                read.updateValue(nil, forKey: name)
                continue
            }
            read[name] = icap.count
            icap.append(service)
        }
        return read
    }
}

extension Section {
    fileprivate func icapService(_ name: String, at table: Int) -> ICAPService? {
        var service = ICAPService(name: name)
        func url(_ key: String) -> Listener.Service? {
            string(key).flatMap { text, offset in
                accept(key, offset) { () throws(Refusal) in try ValueSyntax.icapService(text) }
            }
        }
        service.request = url("request")
        service.response = url("response")
        service.timeout = duration("timeout", atLeast: .milliseconds(1)) ?? service.timeout
        service.onFailure = choice("on_failure", of: ICAPService.OnFailure.self) ?? service.onFailure
        service.maxConnections = integer("max_connections", in: 1...1_024) ?? service.maxConnections
        if entries["request"] == nil, entries["response"] == nil {
            collector.error(at: table, "neither request nor response: nothing would be scanned")
        }
        return service.request == nil && service.response == nil ? nil : service
    }

    /// The service that a listener names.
    func icap(_ listener: Listener, among known: ReadServices) -> Int? {
        guard let node = entries["icap"] else { return nil }
        guard listener.understandsHTTP else {
            collector.error(at: node.keyOffset, "icap: only where HTTP is understood, with http = true")
            return nil
        }
        guard let (name, offset) = string("icap") else { return nil }
        guard let found = known[name] else {
            collector.error(
                at: offset, "icap: there is no [[icap]] \(quoted(name))\(suggestion(for: name, among: known.keys.sorted()))")
            return nil
        }
        return found
    }
}
