internal import CSockets
internal import TransparentSockets

extension Session {
    /// What the relay of requests takes for its upstream: where services of ICAP are shown what passes, an end of ours that stands before
    /// it.
    ///
    /// - Returns: nil: there is none, and the session ends.
    func upstreamForRequests(tunnel: Bool) -> Int32? {
        guard let icap = settings.http?.icap, !tunnel, let real = upstreamRaw else { return upstreamRaw }
        guard channel == nil else {
            _ = report(.proxyError, "icap: what goes through proxies that speak TLS cannot be scanned")
            return nil
        }
        worker.loop.forget(real)
        guard let taken = upstream.take(), let near = AdaptedExchange.begin(of: self, icap, upstream: taken) else {
            _ = report(.proxyLimit, "no descriptor is left for icap")
            return nil
        }
        // It is no socket that could be dialled again.
        isDialledPlainly = false
        forgetUpstreamEvents()
        upstream = .some(near)
        guard let raw = upstreamRaw, watch(upstream: raw) else { return nil }
        return raw
    }
}
