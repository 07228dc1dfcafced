-- Tables, indexes, joins, aggregates, windows, recursion, triggers, transactions.
create table person (id integer primary key, name text not null, city integer, born integer);
create table city (id integer primary key, name text unique);
create table audit (what text, who integer);
create index person_city on person (city, born);
create trigger gone after delete on person begin insert into audit values ('gone', old.id); end;
insert into city values (1, 'Aberdeen'), (2, 'Bologna'), (3, 'Córdoba'), (4, 'Dresden'), (5, 'Ely');
begin;
with recursive n (i, r) as (
  select 1, 42 union all select i + 1, (r * 1103515245 + 12345) % 2147483648 from n where i < 1500
)
insert into person select i, printf('%s-%04x', char(65 + r / 65536 % 26), r % 65536), 1 + r / 256 % 6, 1930 + r / 4096 % 90 from n;
commit;
select count(*), min(born), max(born), round(avg(born), 3), sum(city) from person;
select city.name, count(*) as people, group_concat(distinct substr(person.name, 1, 1)) from person
  left join city on city.id = person.city group by city.name order by people desc, city.name;
begin; delete from person where id % 7 = 0; rollback;
delete from person where id % 11 = 0 and city = 3;
update person set name = upper(name) || '!' where born between 1950 and 1960;
select what, count(*), sum(who) from audit group by what;
select name, born, rank() over (partition by city order by born desc, id) as r from person
  where city = 2 order by r limit 6;
with recursive fib (n, a, b) as (select 1, 0, 1 union all select n + 1, b, a + b from fib where n < 60)
  select n, a from fib where n % 12 = 0;
select p.born, count(*) from person p join person q on p.born = q.born and p.id < q.id and q.city = 4
  where p.city = 1 group by p.born having count(*) > 1 order by 2 desc, 1 limit 8;
select json_group_array(json_object('n', name, 'c', city)) from
  (select name, city from person where name glob '*!' and born % 5 = 0 order by id limit 5);
select hex(zeroblob(4)), quote(1.5e300), 7 / 2, 7 % -3, 'a' || null is null, typeof(1e3);
select sum(length(name) * born % 97) from person where name like '%a%' or name like '%7_';
