import Protocols

/// What became of a request, read whole or in pieces, and written anew.
struct ReadRequest {
    var message: RequestMessage?
    var fault: MessageFault?
    /// Bytes of the head.
    var length = 0
    var written = ""

    init(_ text: String, chunk: Int = .max, via: String? = nil, as form: MessageWriter.Form = .origin) {
        self.init(Array(text.utf8), chunk: chunk, via: via, as: form)
    }

    init(_ bytes: [UInt8], chunk: Int = .max, via: String? = nil, as form: MessageWriter.Form = .origin) {
        var head = HeadReader(.request)
        var count = 0
        do {
            repeat {
                count = min(count.addingReportingOverflow(chunk).overflow ? .max : count + chunk, bytes.count)
                guard try head.read(bytes.span.extracting(0..<count)) else { continue }
                let message = try RequestMessage(head, bytes.span)
                self.message = message
                length = head.length
                var output: [UInt8] = []
                MessageWriter(via: via.map { Array($0.utf8) }).write(message, head, bytes.span, as: form, into: &output)
                written = String(decoding: output, as: UTF8.self)
                return
            } while count < bytes.count
        } catch let fault as HeadReader.Fault {
            self.fault = MessageFault(ofRequest: fault)
        } catch {
            fault = error as? MessageFault
        }
    }

    /// The status of the fault; 200: there is none; nil: the head is not whole.
    var status: Int? { fault?.status ?? (message == nil ? nil : 200) }
}

/// The same of a response.
struct ReadResponse {
    var message: ResponseMessage?
    var fault: MessageFault?
    var written = ""

    init(_ text: String, to method: RequestMethod = .get, chunk: Int = .max, via: String? = nil, keepsAlive: Bool = true) {
        let bytes = Array(text.utf8)
        var head = HeadReader(.response)
        var count = 0
        do {
            repeat {
                count = min(count.addingReportingOverflow(chunk).overflow ? .max : count + chunk, bytes.count)
                guard try head.read(bytes.span.extracting(0..<count)) else { continue }
                let message = try ResponseMessage(head, bytes.span, to: method)
                self.message = message
                var output: [UInt8] = []
                MessageWriter(via: via.map { Array($0.utf8) }).write(
                    message, head, bytes.span, body: message.body, keepsAlive: keepsAlive, into: &output)
                written = String(decoding: output, as: UTF8.self)
                return
            } while count < bytes.count
        } catch let fault as HeadReader.Fault {
            self.fault = MessageFault(ofResponse: fault)
        } catch {
            fault = error as? MessageFault
        }
    }

    var status: Int? { fault?.status ?? message?.status }
}
