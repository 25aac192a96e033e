namespace Hydragen.Text.Normalizers;

/// <summary>Lower-cases character by character.</summary>
internal sealed class LowercaseNormalizer : Normalizer
{
    public override long Growth => 2;

    // U+0130 is the one character whose lower case is two code points.
    public override string Apply(string text) =>
        text.Replace("\u0130", "i\u0307", StringComparison.Ordinal).ToLowerInvariant();
}
