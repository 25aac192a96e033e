using System.Text;

namespace Hydragen.Text.Normalizers;

/// <summary>Removes marks.</summary>
internal sealed class StripAccentsNormalizer : Normalizer
{
    public override string Apply(string text)
    {
        StringBuilder output = new(text.Length);
        for (int i = 0, length; i < text.Length; i += length)
        {
            if (!UnicodeClasses.IsMark(UnicodeClasses.CategoryAt(text, i, out length)))
                output.Append(text, i, length);
        }

        return output.ToString();
    }
}
