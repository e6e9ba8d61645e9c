internal import Protocols

/// A request that a service has changed, on its way from there to the server, which may answer meanwhile. The place at the service, the
/// connection and the time that it has are its own until the body is over.
final class Sending {
    fileprivate let wire: Wire
    fileprivate let service: ICAPService?
    /// What the service gives, and what it is still shown.
    fileprivate let body: BodyPump
    fileprivate let upload: BodyPump?
    fileprivate let mayReuse: Bool
    /// The server has begun its last answer, which counts whatever becomes of the rest.
    var isAnswered = false

    fileprivate init(_ body: BodyPump, from wire: Wire, of service: ICAPService?, _ upload: BodyPump?, mayReuse: Bool) {
        self.body = body
        self.wire = wire
        self.service = service
        self.upload = upload
        self.mayReuse = mayReuse
    }

    /// - Returns: whether there is news.
    fileprivate func step() throws(AdaptationFault) -> Bool {
        var isNews = try body.step()
        if let upload, try upload.step() { isNews = true }
        if try wire.flush() { isNews = true }
        return isNews
    }

    fileprivate var hasShownAll: Bool { upload?.isDone ?? true }

    /// When the service lets us wait too long: not while it waits for the client, or we for the server.
    func deadline(_ timeout: UInt64) -> UInt64 {
        let isAwaited = wire.unsent > 0 || body.isHungry && upload?.isHungry != true
        return wire.deadline(isAwaited: isAwaited && !body.isBlocked, timeout)
    }
}

extension AdaptedExchange {
    /// The message that is with a service is a request, and goes on from there.
    func beginSending(_ body: BodyPump, from wire: Wire) {
        sending = Sending(body, from: wire, of: entered, upload, mayReuse: mayReuse)
        pumps.removeAll { $0 === upload }
        (service, entered, upload, mayReuse) = (nil, nil, nil, false)
    }

    /// Moves what can be moved of it.
    ///
    /// - Returns: whether there is news.
    func moveSending() throws(AdaptationFault) -> Bool {
        guard let sending else { return false }
        do throws(AdaptationFault) {
            let isNews = try sending.step()
            guard sending.body.isDone || server.isDeaf else { return isNews }
        } catch {
            guard sending.isAnswered, error.side == .service else { throw error }
        }
        endSending()
        return true
    }

    /// Its body is over, and its connection may have another message; or it goes no further, and nobody must take the rest for one.
    func endSending() {
        guard let sending = sending.take() else { return }
        if !sending.body.isDone || !sending.hasShownAll { isSpent = true }
        let isClean = sending.body.isDone && sending.hasShownAll && sending.wire.unsent == 0 && sending.wire.input.isEmpty
        if sending.mayReuse, isClean { sending.service?.connections.giveBack(sending.wire.socket) }
        sending.service?.leave(source)
    }
}
