using System.Text;

namespace Hydragen.Text.Decoders;

/// <summary>Turns the visible mark back into spaces; in the first token it vanishes if encoding had added it.</summary>
internal sealed class MetaspaceDecoder(Rune replacement, bool removesFromFirst) : Decoder
{
    public override DecodeStage Start(DecodeStage next) => new Stage(next, replacement.ToString(), removesFromFirst);

    private sealed class Stage(DecodeStage next, string replacement, bool removesFromFirst) : WholeTokenStage(next)
    {
        private bool _isFirst = true;

        protected override void WriteToken(ReadOnlySpan<char> token)
        {
            ReadOnlySpan<char> space = _isFirst && removesFromFirst ? "" : " ";
            _isFirst = false;
            while (true)
            {
                int index = token.IndexOf(replacement, StringComparison.Ordinal);
                if (index < 0)
                    break;
                Next.Write(token[..index], endsToken: false);
                Next.Write(space, endsToken: false);
                token = token[(index + replacement.Length)..];
            }

            Next.Write(token, endsToken: true);
        }
    }
}
