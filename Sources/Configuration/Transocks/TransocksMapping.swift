internal import Policy
public import TransparentSockets

extension Configuration {
    /// What a transocks of that configuration does, in Clearway's terms: what is redirected to it leaves through its proxy.
    ///
    /// - Parameter addresses: what `listen` stands for on this host.
    public init(_ file: TransocksFile, listening addresses: [ListenAddress]) throws(DropInError) {
        self = .embeddedDefault
        let proxy = try Upstream.Member(transocks: file.proxyURL)
        log = try Log(file.log)
        // Listeners and proxy are called by their addresses, as in its log.
        listeners = addresses.map { address in
            var listener = Listener()
            listener.name = address.description
            listener.mode = .redirect
            listener.listen = [address]
            listener.local = false
            return listener
        }
        // Rules are the administrator's: transocks never made any.
        firewall.manage = false
        upstreams = [Upstream(name: proxy.description, members: [proxy], sendName: false)]
        rules = [Rule(action: .upstream(0))]
        // transocks had no limits but these two: on the answer to CONNECT, and on a stop.
        timeouts.connect = .seconds(10)
        timeouts.drain = .seconds(60)
        // Long enough for whoever was well without a limit, and not for ever.
        timeouts.idle = .seconds(24 * 3_600)
        timeouts.halfClose = .seconds(3_600)
    }
}
