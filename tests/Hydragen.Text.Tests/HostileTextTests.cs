using System.Text;

namespace Hydragen.Text.Tests;

/// <summary>Inputs that turn anything worse than O(n log n) into minutes.</summary>
public sealed class HostileTextTests
{
    private const int Length = 1 << 20;

    public static TheoryData<string> Names => Golden.Names();

    [Theory]
    [MemberData(nameof(Names))]
    public void A_megabyte_of_anything_is_encoded(string name)
    {
        Tokenizer tokenizer = Golden.Load(name);
        foreach (string unit in (string[])["a", " ", "😀", "\u0301\u0323", "\n", " \n", "'", "1", "漢", "A", "▁", "\u1100\u1161\u11A8", "\uD800", "<s>", "ªA"])
        {
            // The first four have the full length; a quarter is enough to make anything quadratic hang.
            int length = unit is "a" or " " or "😀" or "\u0301\u0323" ? Length : Length / 4;
            int count = length / Encoding.UTF8.GetByteCount(unit);
            int[] ids = tokenizer.Encode(new StringBuilder("x").Insert(1, unit, count).ToString(), addSpecialTokens: false);
            Assert.NotEmpty(ids);
        }
    }

    [Fact]
    public void A_chain_of_merges_over_one_piece_is_encoded()
    {
        List<string> merges = [];
        for (string token = "a"; token.Length < 512; token += token)
            merges.Add($"{token} {token}");
        Tokenizer tokenizer = TestFiles.Parse(TestFiles.ByteLevelJson([.. merges]));

        int[] ids = tokenizer.Encode(new string('a', Length));

        Assert.Equal(Length / 512, ids.Length);
        Assert.Equal(Length, tokenizer.Decode(ids).Length);
    }

    [Theory]
    [InlineData("gpt2")]
    [InlineData("llama3")]
    [InlineData("o200k")]
    [InlineData("tekken")]
    public void Byte_level_round_trips_random_text(string name)
    {
        Tokenizer tokenizer = Golden.Load(name);
        Random random = new(11);
        for (int round = 0; round < 300; round++)
        {
            string text = RandomText(random);
            Assert.Equal(text, tokenizer.Decode(tokenizer.Encode(text, false, false), skipSpecialTokens: false));
        }
    }

    [Fact]
    public void Concurrent_encodings_do_not_disturb_one_another()
    {
        Tokenizer tokenizer = Golden.Load("llama3");
        string[] texts = [.. Enumerable.Range(0, 64).Select(i => RandomText(new Random(i)))];
        int[][] expected = [.. texts.Select(text => Golden.Load("llama3").Encode(text))];

        Parallel.For(0, 2000, i => Assert.Equal(expected[i % 64], tokenizer.Encode(texts[i % 64])));
    }

    private static string RandomText(Random random)
    {
        StringBuilder text = new();
        for (int i = random.Next(1, 60); i > 0; i--)
        {
            int value = random.Next(4) switch
            {
                0 => random.Next(0x80),
                1 => " \t\r\n'sSA1"[random.Next(9)],
                2 => random.Next(0x80, 0x3000),
                _ => random.Next(0x10000, 0x20000),
            };
            text.Append(new Rune(value));
        }

        return text.ToString();
    }
}
