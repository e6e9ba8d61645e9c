/// A proxy of HTTP that is asked for pages: whether it works shows in its answers, for there is no handshake.
struct Parent {
    let member: UpstreamMember
    let group: UpstreamGroup
    /// The session tries it for the others.
    var isTrial = false
    /// It has answered.
    var isKnown = false
}

extension Session {
    /// The parent, if the upstream is one, has answered like a proxy.
    func parentAnswered() {
        guard let parent, !parent.isKnown else { return }
        self.parent?.isKnown = true
        if parent.group.members.count > 1 { note(.passed, parent.member, of: parent.group, isTrial: parent.isTrial) }
    }

    /// It has ended, or answered with something else, before it was known to work.
    func parentFailed(_ ending: Ending) {
        guard let parent, !parent.isKnown else { return }
        self.parent?.isKnown = true
        if parent.group.members.count > 1 {
            note(.failed(ending), parent.member, of: parent.group, isTrial: parent.isTrial)
        } else {
            tellOfFailure(ending, parent.member, of: parent.group)
        }
    }

    /// The session lets go of it before it has answered.
    func parentLeft() {
        guard let parent, !parent.isKnown, parent.isTrial else { return }
        parent.member.trialEndedWithoutResult(now: worker.loop.now)
    }
}
