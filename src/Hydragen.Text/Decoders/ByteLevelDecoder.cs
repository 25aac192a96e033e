using System.Text;

namespace Hydragen.Text.Decoders;

/// <summary>Turns the printable stand-ins of all tokens together back into bytes and those into text.</summary>
/// <remarks>
/// Bytes that do not form a character become U+FFFD. The text is passed on as soon as its characters are whole.
/// </remarks>
internal sealed class ByteLevelDecoder : Decoder
{
    public override DecodeStage Start(DecodeStage next) => new Stage(next);

    private sealed class Stage(DecodeStage next) : DecodeStage
    {
        private readonly System.Text.Decoder _utf8 = Encoding.UTF8.GetDecoder();
        private byte[] _bytes = new byte[256];
        private char[] _characters = new char[256];

        public override void Write(ReadOnlySpan<char> text, bool endsToken)
        {
            int maximum = checked(3 * text.Length);
            if (_bytes.Length < maximum)
                _bytes = new byte[maximum];
            Pass(_bytes.AsSpan(0, GetBytes(text, _bytes)), flush: false);
        }

        public override void Complete()
        {
            Pass([], flush: true);
            next.Write([], endsToken: true);
            next.Complete();
        }

        private void Pass(ReadOnlySpan<byte> bytes, bool flush)
        {
            int maximum = bytes.Length + 4;
            if (_characters.Length < maximum)
                _characters = new char[maximum];
            int count = _utf8.GetChars(bytes, _characters, flush);
            if (count > 0)
                next.Write(_characters.AsSpan(0, count), endsToken: false);
        }

        // A token with a character outside the alphabet (an added token, say) stands for its own UTF-8 bytes.
        private static int GetBytes(ReadOnlySpan<char> text, Span<byte> bytes)
        {
            for (int i = 0; i < text.Length; i++)
            {
                int value = ByteLevelAlphabet.ToByte(text[i]);
                if (value < 0)
                    return Encoding.UTF8.GetBytes(text, bytes);
                bytes[i] = (byte)value;
            }

            return text.Length;
        }
    }
}
