import Testing

extension Situations {
    /// Mail, SSH and databases: the client waits for the server's greeting and sends nothing before it.
    @Suite struct ServerSpeaksFirst {
        @Test(arguments: Variant.representative)
        func theGreetingArrives(variant: Variant) throws {
            try play(variant) { stage in
                let (client, server) = try stage.connected()
                try stage.server.send(server, "220 ready\r\n")
                #expect(try stage.client.receive(client, 11) == "220 ready\r\n")
                try stage.client.send(client, "QUIT\r\n")
                #expect(try stage.server.receive(server, 6) == "QUIT\r\n")
            }
        }

        /// Acknowledgements held back for an answer to carry them must not hold up a client that waits for one.
        @Test(arguments: Variant.representative, [true, false])
        func whatTheClientSaysIsAcknowledgedSoon(variant: Variant, hasGreeting: Bool) throws {
            try play(variant) { stage in
                let seconds = try (0..<5).map { _ in
                    let (client, server) = try stage.connected()
                    if hasGreeting {
                        try stage.server.send(server, "220 ready\r\n")
                        #expect(try stage.client.receive(client, 11) == "220 ready\r\n")
                    }
                    let answer = try stage.client.perform("send_twice", ["socket": client, "text": "MAIL FROM: me\r\n"])
                    #expect(try stage.server.receive(server, 15) == "MAIL FROM: me\r\n")
                    return answer.double("seconds")
                }
                print("two writes, \(variant.testDescription): acknowledged in \(seconds.min()! * 1000) ms at best")
                // The kernel's own delayed acknowledgement comes after 40 ms.
                #expect(seconds.min()! < 0.03)
            }
        }
    }
}
