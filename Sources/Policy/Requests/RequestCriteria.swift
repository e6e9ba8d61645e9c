/// What a rule asks of requests and their responses, in a form that answers fast. An object, so that rules that ask for nothing of the kind,
/// which may be many, are no larger for it.
final class RequestCriteria: Sendable {
    private let methods: Set<String>?
    private let patterns: [PathPattern]?
    /// The same, in a form that answers fast.
    private let paths: PathTable?
    private let urls: URLSet?
    private let fields: [FieldPattern]?
    private let budget: ComparisonBudget
    private let contentTypes: [ContentTypePattern]?
    private let isReject: Bool

    /// - Parameter budget: of all rules.
    init(_ rule: Rule, _ budget: ComparisonBudget) {
        self.budget = budget
        methods = rule.methods.map { Set($0) }
        patterns = rule.paths
        paths = rule.paths.map { PathTable($0.map { (path: $0, query: nil) }) }
        urls = rule.urls.map { URLSet($0, budget) }
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
        if let fields, !fields.allSatisfy({ matches($0, request) }) { return false }
        guard let contentTypes, !anyResponse else { return true }
        guard let response = request.response else { return false }
        return contentTypes.contains { $0.matches(response) }
    }

    private func matches(_ field: FieldPattern, _ request: RequestFacts) -> Bool {
        field.matches(request.fields, isReject: isReject, mostOctets: budget.octets(ofField: field.foldedName))
    }

    /// A path may mean another one to the server than to us: what is rejected, is so in either form; what is allowed, in both.
    private func matches(_ paths: PathTable, _ request: RequestFacts) -> Bool {
        if request.isPathAmbiguous { return isReject }
        let isWritten = paths.contains(request.path) { _ in true }
        guard isWritten != isReject else { return isWritten }
        return paths.contains(request.resolvedPath) { _ in true }
    }

    /// Whether it is held wherever `other` is.
    func covers(_ other: RequestCriteria) -> Bool {
        if let methods { guard let theirs = other.methods, theirs.isSubset(of: methods) else { return false } }
        if let patterns {
            guard let theirs = other.patterns, theirs.allSatisfy({ path in patterns.contains { $0.covers(path) } }) else {
                return false
            }
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
            guard isReject || !other.isReject else { return false }
        }
        if let contentTypes {
            guard let theirs = other.contentTypes, theirs.allSatisfy({ type in contentTypes.contains { $0.covers(type) } }) else {
                return false
            }
        }
        return true
    }
}
