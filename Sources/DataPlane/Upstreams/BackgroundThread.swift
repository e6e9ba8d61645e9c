internal import CSockets
internal import Glibc
internal import SystemPackage
public import TransparentSockets

// What the threads beside the workers are made of: they wait in `poll` and are woken by an eventfd.

func eventDescriptor() throws(SocketError) -> Descriptor {
    let raw = cs_eventfd()
    guard raw >= 0 else { throw SocketError(call: "eventfd", errno: Errno(rawValue: -raw)) }
    return Descriptor(owning: raw)
}

func signal(_ event: borrowing Descriptor) {
    var one: UInt64 = 1
    _ = cs_write(event.raw, &one, 8)
}

/// Waits for a signal, and takes it.
///
/// - Parameter milliseconds: -1: for ever.
func isSignalled(_ event: borrowing Descriptor, within milliseconds: Int32) -> Bool {
    var entry = pollfd(fd: event.raw, events: Int16(POLLIN), revents: 0)
    guard poll(&entry, 1, milliseconds) == 1 else { return false }
    var count: UInt64 = 0
    return cs_read(event.raw, &count, 8) == 8
}

/// Runs `run` on a thread of its own, which nobody waits for.
public func startThread(_ name: String, _ run: @escaping @Sendable () -> Void) throws(SocketError) {
    let box = Unmanaged.passRetained(Body(name: name, run: run))
    var thread = pthread_t()
    let result = pthread_create(&thread, nil, runBody, box.toOpaque())
    guard result == 0 else {
        box.release()
        throw SocketError(call: "pthread_create", errno: Errno(rawValue: result))
    }
    pthread_detach(thread)
}

private final class Body: Sendable {
    let name: String
    let run: @Sendable () -> Void
    init(name: String, run: @escaping @Sendable () -> Void) {
        self.name = name
        self.run = run
    }
}

private func runBody(_ argument: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    let body = Unmanaged<Body>.fromOpaque(argument!).takeRetainedValue()
    cs_name_thread(body.name)
    body.run()
    return nil
}
