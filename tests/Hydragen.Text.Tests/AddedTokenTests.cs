namespace Hydragen.Text.Tests;

public sealed class AddedTokenTests
{
    private static string Token(int id, string content, bool special = false, bool lstrip = false, bool rstrip = false, bool single = false) =>
        $$"""{"id":{{id}},"content":{{TestFiles.Quote(content)}},"single_word":{{Json(single)}},"lstrip":{{Json(lstrip)}},"rstrip":{{Json(rstrip)}},"normalized":false,"special":{{Json(special)}}}""";

    [Fact]
    public void Of_tokens_that_start_together_the_longest_wins()
    {
        Tokenizer tokenizer = TestFiles.Parse(TestFiles.ByteLevelJson([], addedTokens: $"[{Token(256, "<a")},{Token(257, "<a>bc")},{Token(258, ">b")}]"));

        Assert.Equal([257], tokenizer.Encode("<a>bc"));
        Assert.Equal([256, '>'], tokenizer.Encode("<a>"));
        Assert.Equal([256, 256, 258], tokenizer.Encode("<a<a" + ">b"));
    }

    [Fact]
    public void Text_that_is_not_trusted_cannot_make_a_control_token()
    {
        Tokenizer tokenizer = TestFiles.Parse(TestFiles.ByteLevelJson([], addedTokens: $"[{Token(256, "<|end|>", special: true)},{Token(257, "<tool>")}]"));

        Assert.Equal([256, 257], tokenizer.Encode("<|end|><tool>"));
        int[] asText = tokenizer.Encode("<|end|><tool>", parseSpecialTokens: false);
        Assert.DoesNotContain(256, asText);
        Assert.Equal("<|end|><tool>", tokenizer.Decode(asText));
    }

    [Fact]
    public void Not_even_a_piece_that_equals_a_control_token_gives_its_id_to_untrusted_text()
    {
        Tokenizer tokenizer = TestFiles.Parse(
            """
            {"added_tokens":[{"id":3,"content":"ab","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
            "model":{"type":"BPE","ignore_merges":true,"vocab":{"a":0,"b":1,"c":2,"ab":3,"abc":4},"merges":["a b","ab c"]}}
            """);

        Assert.Equal([3], tokenizer.Encode("ab"));
        Assert.Equal([0, 1], tokenizer.Encode("ab", parseSpecialTokens: false));
        Assert.Equal([3], tokenizer.Encode("ab"));
        Assert.Equal([3, 2], tokenizer.Encode("abc"));
    }

    [Fact]
    public void Stripping_swallows_white_space_once()
    {
        Tokenizer tokenizer = TestFiles.Parse(TestFiles.ByteLevelJson(
            [], addedTokens: $"[{Token(256, "<l>", lstrip: true)},{Token(257, "<r>", rstrip: true)},{Token(258, "ww", single: true)}]"));

        Assert.Equal(['a', 256, ' ', 'b'], tokenizer.Encode("a \u3000\n<l> b"));
        Assert.Equal(['a', ' ', 257, 'b'], tokenizer.Encode("a <r> \t b"));
        Assert.Equal([257, 256], tokenizer.Encode("<r>   <l>"));
        Assert.Equal([258, '-', 258, ' ', 'a', 'w', 'w'], tokenizer.Encode("ww-ww aww"));
    }

    [Fact]
    public void Special_tokens_are_known_and_left_out_of_decoded_text_on_request()
    {
        Tokenizer tokenizer = TestFiles.Parse(TestFiles.ByteLevelJson([], addedTokens: $"[{Token(256, "<s>", special: true)},{Token(300, "<t>")}]"));

        Assert.Equal(301, tokenizer.VocabularySize);
        Assert.True(tokenizer.IsSpecial(256));
        Assert.False(tokenizer.IsSpecial(300) || tokenizer.IsSpecial('a') || tokenizer.IsSpecial(-1) || tokenizer.IsSpecial(int.MaxValue));
        Assert.Equal("<s>", tokenizer.IdToToken(256));
        Assert.Null(tokenizer.IdToToken(270));
        Assert.Null(tokenizer.IdToToken(-1));
        Assert.Equal(300, tokenizer.TokenToId("<t>"));
        Assert.Null(tokenizer.TokenToId("nothing"));
        Assert.Equal("a<t>", tokenizer.Decode([256, 'a', 300, 270]));
        Assert.Equal("<s>a<t>", tokenizer.Decode([256, 'a', 300], skipSpecialTokens: false));
    }

    private static string Json(bool value) => value ? "true" : "false";
}
