internal import Protocols

// Who clients of origins are: each request must show it, by Basic (RFC 7617).

extension Session {
    /// - Returns: what is to be done before a request is judged, or in place of it; nil: its client has shown who it is, if it must.
    func authenticate(_ head: HeadReader, _ bytes: Span<UInt8>, in http: HTTPRelay) -> Verdict? {
        guard let settings = settings.http, settings.login != nil else { return nil }
        let refusal = Verdict.respond(.unauthorized(realm: settings.realm), .clientUnauthorized)
        guard let (shown, field) = credentials(.authorization, head, bytes) else {
            // Who it was before, this request is not from.
            user = nil
            http.acceptedCredentials = []
            return refusal
        }
        if field == http.acceptedCredentials { return nil }
        // Only for the request that they came with: the next one is looked at anew, and counts anew as a guess.
        if http.refusedCredentials.take() == field { return refusal }
        http.question = .credentials(shown, field: field)
        return .wait
    }

    /// What a request shows in the one field for it.
    ///
    /// - Returns: also the field as it stands there; nil: none, or none that can be read.
    func credentials(
        _ known: KnownField, _ head: HeadReader, _ bytes: Span<UInt8>
    ) -> (ServedCredentials, field: [UInt8])? {
        let fields = head.fields.filter { $0.known == known }
        guard fields.count == 1 else { return nil }
        let field = Array(bytes.extracting(fields[0].value))
        return ServedCredentials(authorization: field[...]).map { ($0, field) }
    }
}

extension ErrorPage {
    /// - Parameter realm: printable ASCII.
    fileprivate static func unauthorized(realm: String) -> ErrorPage {
        var page = ErrorPage(401, "This server wants a user name and a password.")
        let quoted = realm.flatMap { $0 == "\"" || $0 == "\\" ? "\\\($0)" : "\($0)" }
        page.add("WWW-Authenticate", "Basic realm=\"\(String(quoted))\", charset=\"UTF-8\"".utf8)
        return page
    }
}

extension ListenerSettings {
    /// Who must show a password, in whichever place; nil: nobody.
    var login: Service.Login? { service?.login ?? http?.login }
}
