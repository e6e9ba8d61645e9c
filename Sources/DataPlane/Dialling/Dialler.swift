internal import Policy
internal import SystemPackage
internal import TransparentSockets

// How a session reaches its upstream.

extension Session {
    /// Connects to `upstream` and waits for the answer. The socket is watched from the start: its first edge is the answer.
    ///
    /// - Returns: nil when connected, else how the session ends.
    func dial(_ upstream: UpstreamAddress, source: SourceAddress, until deadline: UInt64) async -> Ending? {
        var options = dialOptions
        options.source = source
        let used = options.source == .unspecified ? worker.sockets.take(isIPv6: upstream.value.address.isIPv6) : nil
        let isWatched = used != nil
        do throws(SocketError) {
            if let used {
                _ = try redial(used.raw, to: upstream)
                adopt(used, dialledTo: upstream)
            } else {
                adopt(try TransparentSockets.dial(upstream, options).release(), dialledTo: upstream)
            }
        } catch {
            return failure(error)
        }
        return await connected(until: deadline, isWatched: isWatched)
    }

    var dialOptions: DialOptions {
        var options = DialOptions()
        options.mark = worker.settings.mark
        options.delaysAcknowledgement = true
        return options
    }

    /// What a direct destination sees as its client's address.
    var preservedSource: SourceAddress {
        switch settings.preservedSource {
        case .off: .unspecified
        case .address: .address(client.value.address)
        case .addressAndPort: .addressAndPort(client.value)
        }
    }

    var isSourceBound: Bool { decision.action == .direct && settings.preservedSource != .off }

    /// How a failed connect ends the session; what only an operator can mend is reported as well.
    func failure(_ error: SocketError) -> Ending {
        let isConnect = error.call.hasPrefix("connect")
        cause = .call(error)
        switch error.errno {
        case .connectionRefused: return .upstreamRefused
        case .connectionReset, .brokenPipe: return .upstreamReset
        case .networkUnreachable, .hostIsDown, .noRouteToHost: return .upstreamUnreachable
        case .timedOut: return .upstreamTimeout
        case .tooManyOpenFiles, .tooManyOpenFilesInSystem, .noBufferSpace, .noMemory, .addressNotAvailable,
            .resourceTemporarilyUnavailable:
            worker.sockets.empty()
            return report(.proxyLimit, "\(error)", cause)
        // ICMP answers that firewalls and routers send in place of the plain ones.
        case .permissionDenied where isConnect, .protocolError where isConnect, .protocolNotAvailable where isConnect,
            .notSupportedOnSocket where isConnect:
            return .upstreamUnreachable
        default: return report(.proxyError, "\(error)", cause)
        }
    }
}
