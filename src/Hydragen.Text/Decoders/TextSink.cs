using System.Text;

namespace Hydragen.Text.Decoders;

/// <summary>The last stage: collects text until it is taken.</summary>
internal sealed class TextSink : DecodeStage
{
    private readonly StringBuilder _text = new();

    public override void Write(ReadOnlySpan<char> text, bool endsToken) => _text.Append(text);

    public override void Complete()
    {
    }

    /// <summary>Returns and forgets what has come so far.</summary>
    public string Take()
    {
        if (_text.Length == 0)
            return "";
        string text = _text.ToString();
        _text.Clear();
        return text;
    }
}
