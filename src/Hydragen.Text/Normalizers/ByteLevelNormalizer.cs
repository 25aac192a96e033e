namespace Hydragen.Text.Normalizers;

/// <summary>Writes every UTF-8 byte as its printable stand-in.</summary>
internal sealed class ByteLevelNormalizer : Normalizer
{
    public override long Growth => 3;

    public override string Apply(string text)
    {
        char[] buffer = new char[checked(3 * text.Length)];
        return new string(buffer, 0, ByteLevelAlphabet.Encode(text, buffer));
    }
}
