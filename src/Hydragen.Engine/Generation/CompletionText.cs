using System.Text;
using Hydragen.Text;

namespace Hydragen.Engine;

/// <summary>The text of one completion as it grows: decoded token by token, cut at stop strings.</summary>
internal sealed class CompletionText(TokenStream stream, StopStringMatcher stops)
{
    private readonly StringBuilder _text = new();

    public bool IsStopped => stops.IsStopped;

    /// <summary>Adds a token; returns the text that became certain.</summary>
    public string Append(int tokenId)
    {
        string piece = stops.Append(stream.Append(tokenId));
        _text.Append(piece);
        return piece;
    }

    /// <summary>Ends the text; returns what was held back.</summary>
    public string Finish()
    {
        if (stops.IsStopped) return "";
        string piece = stops.Append(stream.Flush());
        if (!stops.IsStopped) piece += stops.Flush();
        _text.Append(piece);
        return piece;
    }

    public override string ToString() => _text.ToString();
}
