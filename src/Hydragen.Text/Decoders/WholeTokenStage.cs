using System.Text;

namespace Hydragen.Text.Decoders;

/// <summary>Base of the steps that need the whole text of a token: collects its parts.</summary>
internal abstract class WholeTokenStage(DecodeStage next) : DecodeStage
{
    private readonly StringBuilder _parts = new();

    /// <summary>The stage behind this one.</summary>
    protected DecodeStage Next { get; } = next;

    public sealed override void Write(ReadOnlySpan<char> text, bool endsToken)
    {
        if (!endsToken)
        {
            _parts.Append(text);
        }
        else if (_parts.Length == 0)
        {
            WriteToken(text);
        }
        else
        {
            string token = _parts.Append(text).ToString();
            _parts.Clear();
            WriteToken(token);
        }
    }

    public override void Complete() => Next.Complete();

    /// <summary>Takes a whole token.</summary>
    protected abstract void WriteToken(ReadOnlySpan<char> token);
}
