internal import CNamespaces
internal import Glibc

/// What the system says of user namespaces; nil where it says nothing.
struct UserNamespaceSettings: Equatable {
    /// `user.max_user_namespaces`
    var most: Int?
    /// `kernel.unprivileged_userns_clone`, of Debian's and Arch's kernels
    var clone: Int?
    /// `kernel.apparmor_restrict_unprivileged_userns`, of Ubuntu's
    var appArmor: Int?

    static var current: UserNamespaceSettings {
        UserNamespaceSettings(
            most: number("user/max_user_namespaces"), clone: number("kernel/unprivileged_userns_clone"),
            appArmor: number("kernel/apparmor_restrict_unprivileged_userns"))
    }

    private static func number(_ name: String) -> Int? {
        guard let file = fopen("/proc/sys/\(name)", "re") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 32)
        guard fgets(&line, Int32(line.count), file) != nil else { return nil }
        return Int(String(decoding: line.prefix { $0 > 0x20 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }

    /// What forbids them, and what would change that; nil: none of these.
    var remedy: String? {
        if most == 0 { return "user.max_user_namespaces is 0: sysctl -w user.max_user_namespaces=10000 allows them" }
        if clone == 0 { return "kernel.unprivileged_userns_clone is 0: sysctl -w kernel.unprivileged_userns_clone=1 allows them" }
        if let appArmor, appArmor > 0 {
            return "kernel.apparmor_restrict_unprivileged_userns is \(appArmor): "
                + "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 allows them to all programs, "
                + "an AppArmor profile with \"userns,\" to this one"
        }
        return nil
    }
}

extension Failure {
    /// Why there is no namespace for the command.
    ///
    /// - Parameters:
    ///   - step: a `cn_step`.
    ///   - code: an errno; of the rules, nft's exit status.
    ///   - complaint: nft's.
    init(step: Int32, _ code: Int32, complaint: String?, _ settings: UserNamespaceSettings) {
        let isRefusal = [EPERM, EACCES, ENOSPC, EUSERS].contains(code)
        switch cn_step(UInt32(step)) {
        case CN_RULES:
            let isPermission = complaint?.contains("Operation not permitted") ?? false
            if isPermission, let remedy = settings.remedy {
                self.init(.notPermitted, "user namespaces may do nothing here: \(remedy)")
            } else {
                self.init(
                    isPermission ? .notPermitted : .unavailable,
                    "the kernel refuses the rules of the command's namespace (nf_tables, nft_tproxy, nft_socket and "
                        + "nft_reject_inet are needed): \(complaint ?? "nft: exit status \(code)")")
            }
        case CN_NAMESPACE where code == EINVAL || code == ENOSYS:
            self.init(.unavailable, "this kernel has no user or network namespaces: CONFIG_USER_NS and CONFIG_NET_NS are needed")
        case CN_NAMESPACE where isRefusal, CN_IDENTITY where isRefusal, CN_NETWORK where isRefusal:
            let unknown =
                code == ENOSPC || code == EUSERS
                ? "too many are open, or nested (user.max_user_namespaces, user.max_net_namespaces)"
                : "\(errorText(code)): a container's seccomp filter or security module forbids them, or the root directory was changed"
            self.init(.notPermitted, "user namespaces are forbidden here: \(settings.remedy ?? unknown)")
        case CN_NAMESPACE: self.init(.systemError, "a namespace cannot be made: \(errorText(code))")
        case CN_IDENTITY: self.init(.systemError, "the user cannot be named in the namespace: \(errorText(code))")
        case CN_NETWORK: self.init(.systemError, "the namespace's network cannot be set up: \(errorText(code))")
        default: self.init(.systemError, "the namespace's sockets cannot be made: \(errorText(code))")
        }
    }
}
