namespace Hydragen.Text.Normalizers;

/// <summary>Replaces a fixed text by another.</summary>
internal sealed class ReplaceNormalizer(string pattern, string content) : Normalizer
{
    public override string Apply(string text) => text.Replace(pattern, content, StringComparison.Ordinal);
}
