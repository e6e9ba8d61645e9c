internal import CSockets
internal import Glibc
internal import TransparentSockets

/// A network namespace without a name: it lives as long as this value, or a socket or process in it.
struct ScratchNamespace: ~Copyable {
    private let descriptor: Descriptor

    init() throws(Failure) {
        let result = onOwnThread { () -> Int32 in
            let unshared = cs_unshare(cs_clone_newnet)
            return unshared < 0 ? unshared : cs_open("/proc/thread-self/ns/net", O_RDONLY, 0)
        }
        guard result >= 0 else {
            throw Failure(
                result == -EPERM ? .notPermitted : .systemError,
                "no scratch network namespace: \(errorText(-result))" + (result == -EPERM ? ": needs CAP_SYS_ADMIN" : ""))
        }
        descriptor = Descriptor(owning: result)
    }

    /// What `ip` takes for the namespace's name, while this process lives.
    var path: String { "/proc/\(getpid())/fd/\(descriptor.raw)" }

    /// Runs `body` inside. Sockets it makes, and programs it starts, belong to the namespace for good.
    func within<Value>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        let raw = descriptor.raw
        let result = onOwnThread { () -> Result<Value, Failure> in
            let entered = cs_setns(raw, cs_clone_newnet)
            guard entered >= 0 else { return .failure(Failure(.systemError, "setns: \(errorText(-entered))")) }
            return Result { () throws(Failure) in try body() }
        }
        return try result.get()
    }
}

/// Namespaces belong to threads: `body` gets one of its own, so that no other thread ever finds itself elsewhere.
private func onOwnThread<Value>(_ body: () -> Value) -> Value {
    withoutActuallyEscaping(body) { body in
        var value: Value?
        var call: () -> Void = { value = body() }
        withUnsafeMutablePointer(to: &call) { call in
            var thread = pthread_t()
            let started = pthread_create(
                &thread, nil,
                { argument in
                    argument!.assumingMemoryBound(to: (() -> Void).self).pointee()
                    return nil
                }, call)
            precondition(started == 0, "pthread_create: \(started)")
            pthread_join(thread, nil)
        }
        return value!
    }
}
