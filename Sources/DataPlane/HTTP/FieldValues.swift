internal import Policy
internal import Protocols
internal import TransparentSockets

// How the heads of this session's messages are written: what is changed of their fields, and what stands in the places of those changes.

extension Session {
    /// Writes heads of requests.
    var requestWriter: MessageWriter {
        guard let http = settings.http else { return MessageWriter(via: nil) }
        var writer = MessageWriter(via: http.viaBytes)
        // A server behind us is no proxy, and what is meant for one is none of its business.
        if settings.service != nil || http.origin != nil { writer.takenCredentials.append(.proxyAuthorization) }
        if http.login != nil { writer.takenCredentials.append(.authorization) }
        writer.changes = http.requestChanges.filled(lastingValue)
        if http.origin != nil {
            writer.marksLoops = true
            let peer = client.value.address
            writer.forwarded = ForwardedFields(
                of: peer, by: ownEndpoint?.address, isTrusted: http.trusts(peer), addsXForwarded: http.addsXForwarded,
                except: http.requestChanges.omitted)
        }
        return writer
    }

    var responseWriter: MessageWriter {
        var writer = MessageWriter(via: settings.http?.viaBytes)
        if let http = settings.http { writer.changes = http.responseChanges.filled(lastingValue) }
        return writer
    }

    /// What stands for a placeholder in all messages of this connection; nil: they may differ.
    private func lastingValue(_ placeholder: FieldTemplate.Placeholder) -> String? {
        switch placeholder {
        case .client, .clientPort, .listener: value(of: placeholder)
        // A client that knows of us says for each request where it goes.
        case .destination, .destinationPort: settings.service == nil ? value(of: placeholder) : nil
        case .name, .user: nil
        }
    }

    /// What stands for a placeholder in the present message; empty: nothing is known.
    func value(of placeholder: FieldTemplate.Placeholder) -> String {
        switch placeholder {
        case .client: "\(client.value.address.unmapped)"
        case .clientPort: "\(client.value.port)"
        case .destination: settings.service == nil ? meant.map { "\($0.address.unmapped)" } ?? "" : askedHost
        case .destinationPort: (settings.service == nil ? meant?.port : requested?.port).map { "\($0)" } ?? ""
        case .name: name?.description ?? ""
        case .user: user ?? ""
        case .listener: settings.name
        }
    }

    /// Where the client's connection was going; in front of origins, to which address of ours.
    private var meant: SocketAddress? { settings.http?.origin == nil ? destination?.value : ownEndpoint }

    private var ownEndpoint: SocketAddress? { clientRaw.flatMap { try? localAddress($0).value } }

    private var askedHost: String {
        switch requested?.host {
        case .address(let address): "\(address.unmapped)"
        case .name(let name): name
        case nil: ""
        }
    }
}
