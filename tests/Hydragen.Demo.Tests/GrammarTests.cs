using Hydragen.Cli.Demo;

namespace Hydragen.Demo.Tests;

public sealed class GrammarTests
{
    private static readonly Grammar Grammar = Grammar.Default;

    [Fact]
    public void There_are_several_kinds_of_facts_with_several_wordings()
    {
        Assert.True(Grammar.Facts.Count >= 5);
        Assert.All(Grammar.Facts, fact =>
        {
            Assert.True(fact.Statements.Count >= 2);
            Assert.True(fact.Questions.Count >= 2);
        });
    }

    [Fact]
    public void Statements_and_answers_hold_key_and_value_and_questions_the_key_alone()
    {
        foreach (GrammarFact fact in Grammar.Facts)
        {
            string[] all = [.. fact.Key, fact.Value];
            Assert.All(fact.Statements.Append(fact.Answer), template => Assert.Equal(all.Order(), template.Slots.Order()));
            Assert.All(fact.Questions, template => Assert.Equal(fact.Key.Order(), template.Slots.Order()));
        }
    }

    [Fact]
    public void Every_slot_is_defined_and_every_form_names_lists()
    {
        IEnumerable<string> used = Grammar.Facts.SelectMany(fact => fact.Answer.Slots)
            .Concat(Grammar.Distractors.SelectMany(template => template.Slots));
        Assert.All(used, slot => Assert.Contains(slot, Grammar.SlotsByName));
        Assert.All(Grammar.Slots.SelectMany(slot => slot.Form.Slots), list => Assert.Contains(list, Grammar.Lists));
    }

    [Fact]
    public void No_list_holds_a_word_twice() =>
        Assert.All(Grammar.Lists, list => Assert.Equal(list.Value.Count, list.Value.Distinct().Count()));

    [Fact]
    public void A_template_with_an_open_brace_is_refused() =>
        Assert.Throws<FormatException>(() => Template.Parse("Where does {person keep it?"));
}
