internal import Policy

// What rules ask of requests, responses and the time, and how they answer requests that they reject.

extension Section {
    /// Fields that one rule asks for, and values of each.
    static let fieldLimit = 16
    static let fieldValueLimit = 256
    static let contentTypeLimit = 256
    static let timeLimit = 256
    /// Octets of a `location`.
    private static let longestLocation = 2_048

    func readRequestCriteria(into rule: inout Rule) {
        rule.methods = criterion("method", "a method such as \"POST\"") { text throws(Refusal) in
            guard !text.isEmpty, text.utf8.allSatisfy({ ValueSyntax.isTokenOctet($0) }) else {
                throw Refusal("\(quoted(text)) is no method, such as \"POST\"")
            }
            if text.uppercased() != text {
                throw Refusal("\(quoted(text)): case counts, did you mean \(quoted(text.uppercased()))?")
            }
            return text
        }
        rule.paths = criterion("path", "a path such as \"/admin/*\"") { text throws(Refusal) in
            guard let pattern = PathPattern(text) else {
                throw Refusal("\(quoted(text)) is no path, such as \"/admin\", or with * at its end: \"/admin/*\"")
            }
            return pattern
        }
        rule.urls = criterion("url", "a URL such as \"http://example.com/ads/*\"") { text throws(Refusal) in
            do throws(URLPattern.Fault) {
                return try URLPattern(text)
            } catch {
                throw Refusal("\(quoted(text)) \(error.explanation)")
            }
        }
        rule.fields = fields("header")
        rule.contentTypes = criterion("content_type", "a media type such as \"video/*\"", atMost: Self.contentTypeLimit) {
            text throws(Refusal) in
            guard let pattern = ContentTypePattern(text) else {
                throw Refusal("\(quoted(text)) is no media type, such as \"video/*\", nor \"none\" for a body of no type")
            }
            return pattern
        }
        let times = criterion("time", "times such as \"Mon-Fri 08:00-18:00\"", atMost: Self.timeLimit) { text throws(Refusal) in
            do throws(WeekTimes.Entry.Fault) {
                return try WeekTimes.Entry(text)
            } catch {
                throw Refusal("\(quoted(text)) \(error.explanation)")
            }
        }
        rule.times = times.map { WeekTimes($0) }
    }

    /// A table of names, with a value or several of each.
    private func fields(_ key: String) -> [FieldPattern]? {
        guard let node = entries[key] else { return nil }
        guard case .table(let table) = node.content else {
            mismatch(node, key, expected: "a table such as { \"User-Agent\" = \"*curl*\" }")
            return nil
        }
        guard (1...Self.fieldLimit).contains(table.count) else {
            collector.error(at: node.valueOffset, "\(key): \(table.count) fields; 1 to \(Self.fieldLimit) are possible")
            return nil
        }
        let section = Section(node, named: key, keys: Array(table.keys), collector)
        var patterns: [FieldPattern] = []
        for (name, node) in table.sorted(by: { $0.value.keyOffset < $1.value.keyOffset }) {
            if let refusal = refusal(ofField: name, among: patterns) {
                collector.error(at: node.keyOffset, "\(key): \(refusal)")
                continue
            }
            let values = section.criterion(name, "a value such as \"*curl*\"", atMost: Self.fieldValueLimit) {
                text throws(Refusal) in
                guard let wildcard = Wildcard(text) else { throw Refusal("a value has at most \(Wildcard.longest) octets") }
                return wildcard
            }
            patterns.append(FieldPattern(name: name, values: values ?? []))
        }
        return patterns
    }

    private func refusal(ofField name: String, among known: [FieldPattern]) -> String? {
        guard !name.isEmpty, name.utf8.count <= 64, name.utf8.allSatisfy({ ValueSyntax.isTokenOctet($0) }) else {
            return "\(quoted(name)) is no name of a field"
        }
        if name.lowercased() == "host" { return "what a request says of its host is asked for with domain or url" }
        if known.contains(where: { $0.name == name.lowercased() }) { return "\(quoted(name)) is there twice" }
        let folded = RequestFacts.Field.folded(name)
        if let other = known.first(where: { $0.foldedName == folded }) {
            return "\(quoted(name)) and \(quoted(other.name)) are one field to programs behind some servers: "
                + "give one of them, with the values of both"
        }
        return nil
    }

    /// How the rule answers requests: `status`, `page` and `location`, as far as its action has use for them.
    func readRejection(into rule: inout Rule, _ files: NamedFiles) {
        // One that is wrong has been told of.
        guard case .string(let action)? = entries["action"]?.content else { return }
        let isRedirect = action == "redirect"
        guard isRedirect || action == "reject" else {
            for (key, actions) in [
                ("content_type", "\"reject\" or \"redirect\""), ("status", "\"reject\" or \"redirect\""), ("page", "\"reject\""),
                ("location", "\"redirect\""),
            ] {
                if let node = entries[key] { collector.error(at: node.keyOffset, "\(key): only with action = \(actions)") }
            }
            return
        }
        let status = status(isRedirect: isRedirect)
        if isRedirect {
            if let node = entries["page"] { collector.error(at: node.keyOffset, "page: only with action = \"reject\"") }
            guard entries["location"] != nil else {
                collector.error(
                    at: entries["action"]?.valueOffset ?? 0, "action: \"redirect\" needs location, the URL to send clients to")
                return
            }
            guard let (text, offset) = string("location"),
                let location = accept("location", offset, { () throws(Refusal) in try Self.location(text) })
            else { return }
            rule.rejection = .redirect(to: location, status: status ?? 302)
            return
        }
        if let node = entries["location"] { collector.error(at: node.keyOffset, "location: only with action = \"redirect\"") }
        if let (path, offset) = string("page") {
            if let page = accept("page", offset, { () throws(Refusal) in try files.page(path) }) {
                rule.rejection = .page(page, status: status ?? 403)
            }
        } else if let status {
            rule.rejection = .standard(status: status)
        }
    }

    private func status(isRedirect: Bool) -> Int? {
        guard let status = integer("status", in: 300...599), let node = entries["status"] else { return nil }
        if isRedirect {
            let possible = [301, 302, 303, 307, 308]
            guard possible.contains(status) else {
                collector.error(at: node.valueOffset, "status: a redirect has 301, 302, 303, 307 or 308, not \(status)")
                return nil
            }
        } else if !(400...599).contains(status) {
            collector.error(at: node.valueOffset, "status: a rejection has 400 to 599, not \(status)")
            return nil
        } else if status == 401 || status == 407 {
            collector.error(at: node.valueOffset, "status: \(status) asks for a password, which no rule looks at")
            return nil
        } else if status == 421 {
            // RFC 9110 §15.5.20: a proxy must not say so.
            collector.error(
                at: node.valueOffset, "status: 421 is no answer of a proxy: the client would ask the same of another server")
            return nil
        }
        return status
    }

    private static func location(_ text: String) throws(Refusal) -> Template {
        let lower = text.lowercased()
        guard let scheme = ["http://", "https://"].first(where: { lower.hasPrefix($0) && lower.utf8.count > $0.utf8.count }) else {
            throw Refusal("\(quoted(text)) is no URL, such as \"https://blocked.example/?{url}\"")
        }
        guard text.utf8.count <= longestLocation else { throw Refusal("a URL has at most \(longestLocation) octets") }
        guard let template = Template(text) else { throw Refusal("at most \(Template.mostPlaces) places can be filled in") }
        let rest = template.filled(.url) { _ in "" }.dropFirst(scheme.count)
        if rest.contains("{") || rest.contains("}") {
            throw Refusal("\(quoted(text)) has braces around something else than url, client, name or rule")
        }
        guard rest.utf8.allSatisfy({ 0x21...0x7E ~= $0 && !"\"<>\\^`|".utf8.contains($0) }) else {
            throw Refusal("\(quoted(text)) has characters that a URL cannot have: write them percent-encoded")
        }
        let places = template.filled(.plain) { _ in "{" }.dropFirst(scheme.count)
        let host = places.prefix { !"/?#".contains($0) }
        guard !host.isEmpty else { throw Refusal("\(quoted(text)) is no URL, such as \"https://blocked.example/?{url}\"") }
        guard !host.contains("{") else {
            throw Refusal(
                "\(quoted(text)) lets clients choose where they are sent: places stand behind the /, ? or # that ends the host")
        }
        return template
    }
}

/// How much rules have a request compared with: with every one, so that this is bounded.
struct PatternCount {
    /// Values of fields in all rules, and queries of the URLs of one host.
    static let limit = 1_024

    private var fieldValues = 0
    private var queries: [URLPattern.Host: Int] = [:]

    /// - Returns: why that rule is one too many.
    mutating func add(_ rule: Rule) -> String? {
        let before = fieldValues
        for field in rule.fields ?? [] { fieldValues += field.values.count }
        if before <= Self.limit, fieldValues > Self.limit {
            return "header: more than \(Self.limit) values in all rules up to this one"
        }
        for url in rule.urls ?? [] where url.hasQuery {
            queries[url.host, default: 0] += 1
            if queries[url.host] == Self.limit + 1 {
                return "url: more than \(Self.limit) URLs of one host with a query in all rules up to this one: \(url)"
            }
        }
        return nil
    }
}

extension URLPattern.Fault {
    fileprivate var explanation: String {
        switch self {
        case .scheme: "is no URL, such as \"http://example.com/ads/*\""
        case .https: "is asked for within TLS, where no request is seen: use domain"
        case .noPath: "has no path: write / behind the host for its first page, or /* for all of them"
        case .host(.noALabels(let reason)): "has a host without A-labels: \(reason)"
        case .host: "has no host, such as \"example.com\" or \"*.example.com\""
        case .port: "has no port from 1 to 65535 behind the colon"
        case .path: "has no path such as \"/ads\", or with * at its end: \"/ads/*\""
        case .query: "has a query of more than \(Wildcard.longest) octets, or a #"
        }
    }
}

extension WeekTimes.Entry.Fault {
    fileprivate var explanation: String {
        switch self {
        case .form: "is no time, such as \"Mon-Fri 08:00-18:00\", \"Sat,Sun\" or \"22:00-06:00\""
        case .day(let text): "names the day \(quoted(text)): days are Mon, Tue, Wed, Thu, Fri, Sat and Sun"
        case .empty: "ends when it begins: for the whole day leave the hours out"
        }
    }
}
