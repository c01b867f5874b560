import java.io.BufferedOutputStream;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.net.InetAddress;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.security.cert.X509Certificate;
import java.util.Arrays;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.TrustManager;
import javax.net.ssl.X509TrustManager;

/**
 * A mail client of Java's own TLS: {@code LegacyClient HOST PORT [SOURCE PROTOCOL,... SUITE,... OCTETS]...}.
 *
 * Delivers one mail of so many octets from each address, with just these protocols and suites, and prints a line for each:
 * the address, what was agreed on, and the answer to the mail. It believes any certificate.
 */
public final class LegacyClient {
    private static final int PATIENCE_MS = 30_000;

    private final BufferedReader in;
    private final OutputStream out;

    private LegacyClient(Socket socket) throws IOException {
        in = new BufferedReader(new InputStreamReader(socket.getInputStream(), StandardCharsets.US_ASCII), 1);
        out = new BufferedOutputStream(socket.getOutputStream(), 1 << 14);
    }

    public static void main(String[] words) throws Exception {
        SSLContext context = SSLContext.getInstance("TLS");
        context.init(null, new TrustManager[] {new Believer()}, null);
        for (int at = 2; at < words.length; at += 4) {
            String source = words[at];
            try (Socket plain = new Socket(words[0], Integer.parseInt(words[1]), InetAddress.getByName(source), 0)) {
                plain.setSoTimeout(PATIENCE_MS);
                LegacyClient clear = new LegacyClient(plain);
                clear.hear();
                clear.say("EHLO java.test");
                clear.say("STARTTLS");
                SSLSocket secured = (SSLSocket) context.getSocketFactory().createSocket(plain, "mx.example.test", 25, true);
                secured.setEnabledProtocols(words[at + 1].split(","));
                secured.setEnabledCipherSuites(words[at + 2].split(","));
                secured.startHandshake();
                String answer = new LegacyClient(secured).deliver(Integer.parseInt(words[at + 3]));
                System.out.println(source + " " + secured.getSession().getProtocol() + " "
                        + secured.getSession().getCipherSuite() + " " + answer);
            } catch (IOException failure) {
                System.out.println(source + " failed: " + failure.getMessage());
            }
        }
    }

    private String deliver(int octets) throws IOException {
        say("EHLO java.test");
        say("MAIL FROM:<a@peer.test>");
        say("RCPT TO:<b@example.test>");
        say("DATA");
        byte[] line = new byte[72];
        Arrays.fill(line, (byte) 'x');
        line[70] = '\r';
        line[71] = '\n';
        out.write("Subject: java\r\n\r\n".getBytes(StandardCharsets.US_ASCII));
        for (int sent = 0; sent < octets; sent += line.length) {
            out.write(line);
        }
        String answer = say(".");
        say("QUIT");
        return answer;
    }

    private String say(String command) throws IOException {
        out.write((command + "\r\n").getBytes(StandardCharsets.US_ASCII));
        out.flush();
        return hear();
    }

    private String hear() throws IOException {
        String line;
        do {
            line = in.readLine();
            if (line == null) {
                throw new IOException("the server closed the connection");
            }
        } while (line.length() > 3 && line.charAt(3) == '-');
        if (line.startsWith("4") || line.startsWith("5")) {
            throw new IOException("the server said " + line);
        }
        return line;
    }

    private static final class Believer implements X509TrustManager {
        public void checkClientTrusted(X509Certificate[] chain, String kind) {}

        public void checkServerTrusted(X509Certificate[] chain, String kind) {}

        public X509Certificate[] getAcceptedIssuers() {
            return new X509Certificate[0];
        }
    }
}
