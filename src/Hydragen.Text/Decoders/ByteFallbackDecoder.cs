using System.Globalization;
using System.Text;

namespace Hydragen.Text.Decoders;

/// <summary>Joins consecutive byte tokens (<c>&lt;0x0A&gt;</c>) to text; a run that is not valid UTF-8 becomes one U+FFFD a byte.</summary>
/// <remarks>
/// A run is held back until another token ends it, because its last byte decides whether all of it is valid.
/// </remarks>
internal sealed class ByteFallbackDecoder : Decoder
{
    public override DecodeStage Start(DecodeStage next) => new Stage(next);

    private sealed class Stage(DecodeStage next) : WholeTokenStage(next)
    {
        private static readonly UTF8Encoding Strict = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);

        private readonly List<byte> _bytes = [];

        public override void Complete()
        {
            PassBytes();
            base.Complete();
        }

        protected override void WriteToken(ReadOnlySpan<char> token)
        {
            if (TryParseByte(token, out byte value))
            {
                _bytes.Add(value);
                return;
            }

            PassBytes();
            Next.Write(token, endsToken: true);
        }

        private static bool TryParseByte(ReadOnlySpan<char> token, out byte value)
        {
            value = 0;
            return token.Length == 6 && token.StartsWith("<0x") && token[5] == '>'
                && byte.TryParse(token[3..5], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out value);
        }

        private void PassBytes()
        {
            if (_bytes.Count == 0)
                return;
            byte[] bytes = [.. _bytes];
            _bytes.Clear();
            if (System.Text.Unicode.Utf8.IsValid(bytes))
            {
                Next.Write(Strict.GetString(bytes), endsToken: true);
                return;
            }

            for (int i = 0; i < bytes.Length; i++)
                Next.Write("\uFFFD", endsToken: true);
        }
    }
}
