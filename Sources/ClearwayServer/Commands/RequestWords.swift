internal import DataPlane
internal import Policy
internal import TransparentSockets

/// What a person says of a request of HTTP, and of when it comes.
public struct RequestWords: Sendable {
    /// Any of them nil: not said.
    var url: String?
    var method: String?
    /// `NAME: VALUE`
    var fields: [String]
    var contentType: String?

    public init(url: String? = nil, method: String? = nil, fields: [String] = [], contentType: String? = nil) {
        self.url = url
        self.method = method
        self.fields = fields
        self.contentType = contentType
    }

    /// - Returns: whether there is a request.
    func add(to query: inout Query) throws(Failure) -> Bool {
        guard let url else {
            for (option, isGiven) in [
                ("--method", method != nil), ("--header", !fields.isEmpty), ("--content-type", contentType != nil),
            ]
            where isGiven { throw Failure(.usage, "\(option): a request has a URL (give --url)") }
            return false
        }
        let scheme = "http://"
        let rest = url.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        guard url.lowercased().hasPrefix(scheme), !authority.isEmpty,
            url.utf8.allSatisfy({ 0x21...0x7E ~= $0 && $0 != UInt8(ascii: "#") })
        else { throw Failure(.usage, "--url: \"\(url)\" is no URL of a request, such as http://example.com/ads/1.js") }
        var host = authority
        if !authority.hasSuffix("]"), let colon = authority.lastIndex(of: ":") { host = authority[..<colon] }
        let isAddress = host.hasPrefix("[") ? IPv6Address(host.dropFirst().dropLast()) != nil : IPAddress(anySpelling: host) != nil
        query.name = isAddress ? nil : try hostName(String(host), of: "--url")
        var facts = RequestFacts(
            method: method ?? "GET", target: String(rest.dropFirst(authority.count)), authority: String(authority),
            fields: try fields.map { text throws(Failure) in try Self.field(text) })
        if let contentType {
            facts.response = ResponseFacts(contentTypes: contentType == "none" ? [] : [Array(contentType.utf8)], hasBody: true)
        }
        query.request = facts
        return true
    }

    private static func field(_ text: String) throws(Failure) -> RequestFacts.Field {
        guard let colon = text.firstIndex(of: ":"), colon > text.startIndex else {
            throw Failure(.usage, "--header: \"\(text)\" is no field, such as \"User-Agent: curl\"")
        }
        let value = text[text.index(after: colon)...].drop { $0 == " " }
        return RequestFacts.Field(name: String(text[..<colon]), value: Array(value.utf8))
    }
}

func hostName(_ text: String, of option: String) throws(Failure) -> DomainName {
    let bytes = Array(text.utf8)
    do throws(DomainName.WritingError) {
        return try DomainName(written: bytes.span)
    } catch {
        switch error {
        case .address(let address): throw Failure(.usage, "\(option): \"\(text)\" is the address \(address), and no host name")
        case .noALabels(let reason): throw Failure(.usage, "\(option): \"\(text)\" has no A-labels: \(reason)")
        case .noName: throw Failure(.usage, "\(option): \"\(text)\" is no host name")
        }
    }
}

/// - Parameter text: nil: now.
func minuteOfWeek(_ text: String?) throws(Failure) -> MinuteOfWeek? {
    guard let text else {
        var clock = LocalClock()
        return clock.now()
    }
    guard let minute = MinuteOfWeek(text) else {
        throw Failure(.usage, "--time: \"\(text)\" is no time of the week, such as \"Wed 14:30\"")
    }
    return minute
}
