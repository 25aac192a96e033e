using System.Text;
using Hydragen.Text.PreTokenizers;

namespace Hydragen.Text.Normalizers;

/// <summary>Replaces the matches of a pattern by a fixed text.</summary>
internal sealed class ReplaceNormalizer(SplitPattern pattern, string content) : Normalizer
{
    public override long Growth => Math.Max(1, content.Length);

    public override string Apply(string text)
    {
        SplitPattern search = pattern.Prepare();
        StringBuilder? output = null;
        int end = 0;
        while (end < text.Length && search.TryFind(text, end, out int start, out int length))
        {
            output ??= new StringBuilder(text.Length);
            output.Append(text, end, start - end).Append(content);
            end = start + length;
        }

        return output is null ? text : output.Append(text, end, text.Length - end).ToString();
    }
}
