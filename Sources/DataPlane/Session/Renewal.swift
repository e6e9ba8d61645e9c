internal import Policy
internal import TransparentSockets

// Sessions that nothing has been done for yet when a reload brings other rules: those are the ones that they come under.

extension Session {
    /// Its listener, users, rules and upstreams are those before a reload.
    var isOutdated: Bool { routes !== worker.settings.routes }

    /// Takes the rules that are in force now, and its listener as it is now. What was decided before, and opened, counts no more.
    ///
    /// - Returns: false: the listener is not there any more, or is of another kind, or not for this client; nothing has changed.
    func renew() -> Bool {
        guard isOutdated else { return true }
        guard let now = worker.listenerSettings(named: settings.name), now.isOfKind(of: settings),
            now.service?.admits(client.value.address) ?? now.http?.admits(client.value.address) ?? true
        else { return false }
        if upstream != nil { dropUpstream() }
        decision = Decision(.direct, rule: nil)
        routes = worker.settings.routes
        settings = now
        return true
    }
}

extension ListenerSettings {
    /// What its clients speak, and who they take us for, is the same.
    fileprivate func isOfKind(of other: ListenerSettings) -> Bool {
        service?.protocols == other.service?.protocols && (http == nil) == (other.http == nil)
            && (http?.origin == nil) == (other.http?.origin == nil) && isElsewhere == other.isElsewhere
    }
}
