/// A proxy of HTTP that is asked for pages: whether it works shows in its answers, for there is no handshake.
struct Parent {
    let member: UpstreamMember
    let group: UpstreamGroup
    /// When the session claimed to try it for the others, monotonic nanoseconds; nil: it does not.
    var trial: UInt64?
    /// It has answered.
    var isKnown = false
}

extension Session {
    /// The parent, if the upstream is one, has answered like a proxy.
    func parentAnswered() {
        guard let parent, !parent.isKnown else { return }
        self.parent?.isKnown = true
        parent.member.answered()
        if parent.group.members.count > 1 { note(.passed, parent.member, of: parent.group, trial: parent.trial) }
    }

    /// It has ended, or answered with something else, before it was known to work.
    func parentFailed(_ ending: Ending) {
        guard let parent, !parent.isKnown else { return }
        self.parent?.isKnown = true
        // One client with a request that no proxy survives must not take them from all others.
        guard parent.trial != nil || parent.member.hungUp() else { return }
        if parent.group.members.count > 1 {
            note(.failed(ending), parent.member, of: parent.group, trial: parent.trial)
        } else {
            tellOfFailure(ending, parent.member, of: parent.group)
        }
    }

    /// The session lets go of it before it has answered.
    func parentLeft() {
        guard let parent, !parent.isKnown, let trial = parent.trial else { return }
        parent.member.trialEndedWithoutResult(claimed: trial, now: worker.loop.now)
    }
}
