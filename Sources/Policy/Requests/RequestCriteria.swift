/// What a rule asks of requests and their responses, in a form that answers fast. An object, so that rules that ask for nothing of the kind,
/// which may be many, are no larger for it.
final class RequestCriteria: Sendable {
    private let methods: Set<String>?
    private let paths: [PathPattern]?
    private let urls: URLSet?
    private let fields: [FieldPattern]?
    private let contentTypes: [ContentTypePattern]?
    private let isReject: Bool

    init(_ rule: Rule) {
        methods = rule.methods.map { Set($0) }
        paths = rule.paths
        urls = rule.urls.map(URLSet.init)
        fields = rule.fields
        contentTypes = rule.contentTypes
        isReject = rule.action == .reject
    }

    /// - Parameter anyResponse: as if the response that is not known were the right one.
    func match(_ query: Query, anyResponse: Bool) -> Bool {
        guard let request = query.request else { return false }
        if let methods, !methods.contains(request.method) { return false }
        if let paths, !matches(paths, request) { return false }
        if let urls, !urls.match(request, query, isReject: isReject) { return false }
        if let fields, !fields.allSatisfy({ $0.matches(request.fields) }) { return false }
        guard let contentTypes, !anyResponse else { return true }
        guard let response = request.response else { return false }
        return contentTypes.contains { $0.matches(response) }
    }

    /// A path may mean another one to the server than to us: what is rejected, is so in either form; what is allowed, in both.
    private func matches(_ paths: [PathPattern], _ request: RequestFacts) -> Bool {
        let isWritten = paths.contains { $0.matches(request.path) }
        let isResolved = paths.contains { $0.matches(request.resolvedPath) }
        return isReject ? isWritten || isResolved : isWritten && isResolved
    }

    /// Whether it is held wherever `other` is.
    func covers(_ other: RequestCriteria) -> Bool {
        if let methods { guard let theirs = other.methods, theirs.isSubset(of: methods) else { return false } }
        if let paths {
            guard let theirs = other.paths, theirs.allSatisfy({ path in paths.contains { $0.covers(path) } }) else { return false }
            // Of one path the two may think differently: this one lets pass what the other would reject.
            guard isReject || !other.isReject else { return false }
        }
        if let urls {
            guard let theirs = other.urls, urls.covers(theirs), isReject || !other.isReject else { return false }
        }
        if let fields {
            guard let theirs = other.fields, fields.allSatisfy({ field in theirs.contains { field.covers($0) } }) else {
                return false
            }
        }
        if let contentTypes {
            guard let theirs = other.contentTypes, theirs.allSatisfy({ type in contentTypes.contains { $0.covers(type) } }) else {
                return false
            }
        }
        return true
    }
}
