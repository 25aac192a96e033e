namespace Hydragen.Text.Decoders;

/// <summary>Replaces a text in every token.</summary>
internal sealed class ReplaceDecoder(string pattern, string content) : Decoder
{
    public override DecodeStage Start(DecodeStage next) => new Stage(next, pattern, content);

    private sealed class Stage(DecodeStage next, string pattern, string content) : WholeTokenStage(next)
    {
        protected override void WriteToken(ReadOnlySpan<char> token)
        {
            while (true)
            {
                int index = token.IndexOf(pattern, StringComparison.Ordinal);
                if (index < 0)
                    break;
                Next.Write(token[..index], endsToken: false);
                Next.Write(content, endsToken: false);
                token = token[(index + pattern.Length)..];
            }

            Next.Write(token, endsToken: true);
        }
    }
}
