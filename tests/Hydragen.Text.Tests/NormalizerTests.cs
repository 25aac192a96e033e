using System.Text;
using System.Text.Json;
using Hydragen.Text.Json;
using Hydragen.Text.Normalizers;

namespace Hydragen.Text.Tests;

public sealed class NormalizerTests
{
    // The examples of Unicode Standard Annex 15 and the corners of its algorithm: source, NFC, NFD, NFKC, NFKD.
    [Theory]
    [InlineData("\u00C5", "\u00C5", "A\u030A", "\u00C5", "A\u030A")]
    [InlineData("\u212B", "\u00C5", "A\u030A", "\u00C5", "A\u030A")]
    [InlineData("\u1E9B\u0323", "\u1E9B\u0323", "\u017F\u0323\u0307", "\u1E69", "s\u0323\u0307")]
    [InlineData("\uFB01", "\uFB01", "\uFB01", "fi", "fi")]
    [InlineData("2\u2075", "2\u2075", "2\u2075", "25", "25")]
    [InlineData("\u1E0B\u0323", "\u1E0D\u0307", "d\u0323\u0307", "\u1E0D\u0307", "d\u0323\u0307")]
    [InlineData("q\u0307\u0323", "q\u0323\u0307", "q\u0323\u0307", "q\u0323\u0307", "q\u0323\u0307")]
    [InlineData("\uD55C\uAE00", "\uD55C\uAE00", "\u1112\u1161\u11AB\u1100\u1173\u11AF", "\uD55C\uAE00", "\u1112\u1161\u11AB\u1100\u1173\u11AF")]
    [InlineData("\uAC00\u11A8\u11A8", "\uAC01\u11A8", "\u1100\u1161\u11A8\u11A8", "\uAC01\u11A8", "\u1100\u1161\u11A8\u11A8")]
    [InlineData("\u0344\u0958\u0340", "\u0308\u0301\u0915\u093C\u0300", "\u0308\u0301\u0915\u093C\u0300", "\u0308\u0301\u0915\u093C\u0300", "\u0308\u0301\u0915\u093C\u0300")]
    [InlineData("a\u0315\u0300\u05AE\u0062", "\u00E0\u05AE\u0315b", "a\u05AE\u0300\u0315b", "\u00E0\u05AE\u0315b", "a\u05AE\u0300\u0315b")]
    [InlineData("\U0001D15E\U0002F800", "\U0001D157\U0001D165\u4E3D", "\U0001D157\U0001D165\u4E3D", "\U0001D157\U0001D165\u4E3D", "\U0001D157\U0001D165\u4E3D")]
    [InlineData("\u0301\u0301 plain", "\u0301\u0301 plain", "\u0301\u0301 plain", "\u0301\u0301 plain", "\u0301\u0301 plain")]
    [InlineData("\u3300\uFDFA", "\u3300\uFDFA", "\u3300\uFDFA", "\u30A2\u30D1\u30FC\u30C8\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 \u0639\u0644\u064A\u0647 \u0648\u0633\u0644\u0645", "\u30A2\u30CF\u309A\u30FC\u30C8\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 \u0639\u0644\u064A\u0647 \u0648\u0633\u0644\u0645")]
    public void Unicode_forms_are_those_of_the_standard(string text, string nfc, string nfd, string nfkc, string nfkd)
    {
        Assert.Equal(nfc, Apply("""{"type":"NFC"}""", text));
        Assert.Equal(nfd, Apply("""{"type":"NFD"}""", text));
        Assert.Equal(nfkc, Apply("""{"type":"NFKC"}""", text));
        Assert.Equal(nfkd, Apply("""{"type":"NFKD"}""", text));
    }

    [Theory]
    [InlineData("NFC")]
    [InlineData("NFD")]
    [InlineData("NFKC")]
    [InlineData("NFKD")]
    public void Normalizing_twice_changes_nothing_more(string form)
    {
        string json = $$"""{"type":"{{form}}"}""";
        Random random = new(19);
        for (int round = 0; round < 500; round++)
        {
            StringBuilder text = new();
            for (int i = 0; i < 20; i++)
                text.Append(new Rune(random.Next(3) switch { 0 => random.Next(0x300, 0x370), 1 => random.Next(0xC0, 0x250), _ => random.Next(0x1100, 0x3400) }));
            string once = Apply(json, text.ToString());
            Assert.Equal(once, Apply(json, once));
        }
    }

    [Theory]
    [InlineData("""{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}""", " a b", "▁▁a▁b")]
    [InlineData("""{"type":"Prepend","prepend":"▁"}""", "", "")]
    [InlineData("""{"type":"Lowercase"}""", "ÀΣİǅ", "àσi\u0307ǆ")]
    [InlineData("""{"type":"Strip","strip_left":true,"strip_right":false}""", "\u3000 a \n", "a \n")]
    [InlineData("""{"type":"Strip","strip_left":false,"strip_right":true}""", "\u3000 a \n", "\u3000 a")]
    [InlineData("""{"type":"ByteLevel"}""", "é \n", "Ã©ĠĊ")]
    public void Simple_normalizers_rewrite(string json, string text, string expected)
    {
        Assert.Equal(expected, Apply(json, text));
    }

    private static string Apply(string json, string text)
    {
        using JsonDocument document = JsonDocument.Parse(json);
        return NormalizerReader.Read(new JsonField("test", "$", document.RootElement)).Apply(text);
    }
}
